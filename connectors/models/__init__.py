"""What connectors keep: where knowledge comes from, how far its syncs are, what came of each source."""

from connectors.models.connector import Connector
from connectors.models.pdf import PdfFile, PdfJob
from connectors.models.sync import Listing, Source, SyncJob

__all__ = ["Connector", "Listing", "PdfFile", "PdfJob", "Source", "SyncJob"]
