"""One module a verb: each reads top to bottom as its story; no verb imports a verb."""
