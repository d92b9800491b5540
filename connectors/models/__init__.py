"""What connectors keep: where knowledge comes from, how far its syncs are, what came of each source."""

from connectors.models.bot import BotEvent, BotMessage, FeishuPerson
from connectors.models.card import ApprovalCard
from connectors.models.connector import Connector
from connectors.models.pdf import PdfFile, PdfJob
from connectors.models.sync import Listing, Source, SyncJob

__all__ = [
    "ApprovalCard", "BotEvent", "BotMessage", "Connector", "FeishuPerson", "Listing", "PdfFile", "PdfJob", "Source",
    "SyncJob",
]  # fmt: skip
