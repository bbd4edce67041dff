"""Scripted moments of the fake world that several tests look at."""

from __future__ import annotations

from tests.web.fake_world import MINUTE, World, now_us

TALKS = [
    [
        ("router", "You are number 2, about 1 minute."),
        ("customer", "The invoice says 842 € but the order was 642 €. https://oak.example/orders/20417"),
        ("agent", "Good morning Maria. I am sorry about that, let me look at the order."),
        ("customer", "Thank you! The second delivery is listed twice, I think."),
    ],
    [("customer", "Is somebody coming today? I am at home until four.")],
    [
        ("customer", "Dear team,\nplease send the invoice to our new address."),
        ("agent", "Dear Priya,\nwhich address may we use?"),
    ],
]  # fmt: skip


def said(world: World, contact: str, lines: list[tuple[str, str]]) -> None:
    """A conversation of the last minutes."""
    world.messages[contact] = [
        {
            "id": f"p{contact}{place}",
            "contact": contact,
            "from": who,
            "at_us": now_us() - (len(lines) - place) * MINUTE,
            "text": text,
        }
        | ({"agent": "ana"} if who == "agent" else {})
        for place, (who, text) in enumerate(lines)
    ]


def at_work(world: World) -> list[str]:
    """Three contacts held (chat, SMS, e-mail), what was said in them, and a chat that rings.

    Gives the ids of the three.
    """
    held = [
        world.offer(
            "chat",
            "Maria Sandoval",
            customer="maria",
            attributes={"topic": "invoice", "order": "OAK-20417", "shop": "Berlin"},
            segment_reason="orders in 12 months: 9",
        ),
        world.offer("sms", "Jonas Weber", segment="floating"),
        world.offer("email", "Priya Natarajan", queue="billing", segment="passive"),
    ]
    contacts = [str(world.reservations[each]["contact"]) for each in held]
    for reservation, contact, lines in zip(held, contacts, TALKS, strict=True):
        world.carry_out({"type": "accept", "reservation": reservation})
        said(world, contact, lines)
    world.offer("chat", "Oleksandr Kovalenko", queue="technical")
    return contacts
