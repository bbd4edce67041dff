"""All operations, in the order in which the description shows them."""

from __future__ import annotations

from router.api.routes import (
    actions,
    admin,
    agents,
    attachments,
    contacts,
    customers,
    events,
    file_owned,
    history,
    logins,
    nodes,
    preference,
    privacy,
    queues,
    reports,
    rules,
    trying,
)
from router.api.table import Route

ROUTES: tuple[Route, ...] = (
    *contacts.ROUTES,
    *actions.ROUTES,
    *attachments.ROUTES,
    *events.ROUTES,
    *agents.ROUTES,
    *customers.ROUTES,
    *privacy.ROUTES,
    *history.ROUTES,
    *logins.ROUTES,
    *preference.ROUTES,
    *queues.ROUTES,
    *file_owned.ROUTES,
    *reports.ROUTES,
    *rules.ROUTES,
    *trying.ROUTES,
    *admin.ROUTES,
    *nodes.ROUTES,
)
