"""English chats made up from a seed: two people, weeks of small talk, questions whose answer is one turn.

As in real chats, the turn that answers shares a word with the question two times of three; else the topic was named
by the other one alone, a turn earlier. Real chats can be read instead (`sets.read_chats`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

NAMES = ("Maya", "Jonas", "Priya", "Tomas", "Elena", "Marcus", "Aiko", "Daniel")
PLACES = ("Lisbon", "Kyoto", "Oslo", "Quito", "Dublin", "Hanoi", "Turin", "Accra")
DAYS = ("last Friday", "two weeks ago", "yesterday", "on my birthday", "over the holidays", "in March")


@dataclass(frozen=True)
class Topic:
    """What one asks, what the other answers (the evidence), and how somebody asks about it later."""

    opening: str
    answers: tuple[str, ...]
    details: tuple[str, ...]
    question: str
    restated: str


TOPICS = (
    Topic(
        "Hey, did you ever get that puppy you were talking about?",
        ("Yes! {detail}, we named him Biscuit {when}.", "I did, {detail}. He chews everything in sight."),
        ("a beagle from the shelter", "a scruffy terrier", "a golden retriever"),
        "Which breed of dog does {name} have?",
        "There's a dog in the house now!",
    ),
    Topic(
        "How is the new job treating you?",
        ("Pretty well, I'm {detail} now and my boss is lovely.", "Busy! They made me {detail} {when}."),
        ("a nurse in the children's ward", "head of logistics", "a junior architect"),
        "What is {name}'s occupation?",
        "A new occupation at last.",
    ),
    Topic(
        "Are you still painting in the evenings?",
        ("Not so much, I switched to {detail} {when}.", "I gave it up for {detail}, it calms me down."),
        ("pottery", "watercolour birds", "wood carving"),
        "What hobby did {name} take up in place of painting?",
        "About that hobby:",
    ),
    Topic(
        "Where did you end up going for the summer?",
        ("We flew to {place} and {detail}.", "{place}, and {detail} every single day!"),
        ("swam in the sea", "ate far too much ice cream", "got lost in the old town"),
        "Where did {name} travel on vacation?",
        "That was our vacation.",
    ),
    Topic(
        "What happened with your knee?",
        ("The doctor says it's {detail}, no running until autumn.", "Turns out it's {detail}. I start therapy {when}."),
        ("a torn meniscus", "just a bad sprain", "early arthritis"),
        "What injury was {name} diagnosed with?",
        "An old injury, really.",
    ),
    Topic(
        "Did your sister have the baby?",
        ("She did {when}! It's {detail}, everybody is fine.", "{detail}, born {when}, I cried a little."),
        ("a girl called Noemi", "a boy called Ravi", "twins"),
        "Who was born into {name}'s family?",
        "Our family has grown.",
    ),
    Topic(
        "What are you reading these days?",
        ("I'm halfway through {detail}, can't put it down.", "{detail}. My aunt lent it to me {when}."),
        ("a biography of Marie Curie", "an old detective story", "poems by Neruda"),
        "Which book has {name} been enjoying?",
        "A good book, finally.",
    ),
    Topic(
        "How did the race go?",
        ("I finished in {detail}, a personal best!", "{detail}. My legs hated me {when}."),
        ("just under four hours", "fifty-two minutes", "place thirty-one"),
        "What result did {name} achieve in the competition?",
        "It was quite a competition.",
    ),
    Topic(
        "Is the house finally sold?",
        ("Yes, to {detail}, we sign {when}.", "Almost, {detail} made an offer."),
        ("a young couple from the coast", "a retired teacher", "our own neighbour"),
        "Who is buying {name}'s home?",
        "We are giving up our home.",
    ),
    Topic(
        "What did you cook for the party?",
        ("{detail}, and nothing was left over.", "I made {detail}. The recipe is my grandmother's."),
        ("a huge pot of lentil curry", "mushroom dumplings", "lemon risotto"),
        "What dish did {name} serve to the guests?",
        "There were twelve guests.",
    ),
    Topic(
        "Any luck with the car?",
        ("The mechanic found {detail}, it will cost a fortune.", "It was {detail}. I take the bus for now."),
        ("a broken alternator", "a leak in the radiator", "mice in the wiring"),
        "What was wrong with {name}'s vehicle?",
        "My poor vehicle.",
    ),
    Topic(
        "Have you decided what to study?",
        ("I think {detail}, the course starts {when}.", "{detail}! My parents are still getting used to it."),
        ("marine biology", "sound engineering", "Portuguese literature"),
        "Which subject is {name} going to pursue at university?",
        "University is decided.",
    ),
    Topic(
        "Who is teaching you the guitar?",
        ("{detail}, every Tuesday after work.", "I found {detail} {when}, very patient."),
        ("an old jazz musician", "my cousin Felix", "a student from the conservatory"),
        "From whom does {name} take music lessons?",
        "Music lessons again!",
    ),
    Topic(
        "Did you get your mother something?",
        ("I got her {detail}, she was so happy.", "{detail}, wrapped in her favourite paper."),
        ("a silver locket", "tickets for the ballet", "a framed map of her village"),
        "What present did {name} give to a parent?",
        "A present for my parents is never easy.",
    ),
    Topic(
        "Why were you awake so late?",
        ("I was {detail} and lost track of time.", "Couldn't sleep, so I was {detail} until three."),
        ("watching the meteor shower", "finishing my tax papers", "baking bread"),
        "What kept {name} up during the night?",
        "It was a long night.",
    ),
    Topic(
        "How is the garden doing?",
        ("The {detail} are finally out, come and see!", "Snails ate everything but the {detail}."),
        ("tomatoes", "sunflowers", "dahlias"),
        "What is growing at {name}'s place?",
        "Everything is growing.",
    ),
)
SMALL_TALK = (
    "Ha, that sounds just like you!", "Wow, I'm so happy for you.", "Oh no, I'm sorry to hear that.", "That's amazing, tell me more!",
    "I should call you more often.", "Thanks, that means a lot to me.", "We have to celebrate that some time.", "The weather has been awful here.",
    "I miss our long walks.", "Anyway, take care and talk soon!", "My phone nearly died, sorry for the delay.", "Good morning! Slept well?",
    "Let me know when you are around.", "I can't believe how time flies.", "Same here, work has been mad this week.", "You always know what to say.",
    "The neighbours' hound barked all night again.", "My colleague just retired from the bank.", "I used to knit, ages ago.",
    "Somebody at work flew to the mountains for a week.", "My back hurts whenever it rains.", "A cousin of mine is expecting.",
    "The library closes early on Mondays now.", "There was a marathon downtown, the streets were closed.",
    "Rents have gone up so much around here.", "We ordered pizza again, shame on us.", "The bus broke down twice this week.",
    "My old school is being torn down.", "The street musicians were lovely today.", "I never know what to buy for people.",
    "I slept badly, it was so hot.", "The balcony flowers need water.",
)  # fmt: skip


@dataclass(frozen=True)
class Chat:
    """Turns in order, and for each question the turns that answer it."""

    turns: tuple[str, ...]
    questions: tuple[tuple[str, frozenset[int]], ...]


def make_chat(seed: int, *, exchanges: int = 150) -> Chat:
    """Return one conversation, the same for the same seed."""
    choose = random.Random(seed)  # noqa: S311  the same for everybody
    names = choose.sample(NAMES, 2)
    turns: list[str] = []
    questions: list[tuple[str, frozenset[int]]] = []
    open_topics = [(topic, name) for topic in TOPICS for name in names]
    choose.shuffle(open_topics)
    for _ in range(exchanges):
        asker, teller = choose.sample(names, 2)
        mine = next((each for each in open_topics if each[1] == teller), None)
        if mine is not None and choose.random() < 0.3:
            open_topics.remove(mine)
            turns += [f"{asker}: {mine[0].opening}", f"{teller}: {_said(mine[0], choose)}"]
            questions.append((mine[0].question.format(name=teller), frozenset({len(turns) - 1})))
        turns.append(f"{asker}: {choose.choice(SMALL_TALK)}")
        if choose.random() < 0.5:
            turns.append(f"{teller}: {choose.choice(SMALL_TALK)} {choose.choice(SMALL_TALK)}")
    return Chat(tuple(turns), tuple(questions))


def _said(topic: Topic, choose: random.Random) -> str:
    text = choose.choice(topic.answers).format(
        detail=choose.choice(topic.details), when=choose.choice(DAYS), place=choose.choice(PLACES)
    )
    if choose.random() < 0.65:
        text = f"{topic.restated} {text}"
    return f"{text} {choose.choice(SMALL_TALK)}" if choose.random() < 0.5 else text
