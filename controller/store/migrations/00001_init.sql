-- One text for SQLite and PostgreSQL. Times are microseconds since 1970 UTC, 0 is "never"; BYTEA holds bytes in both.

-- +goose Up
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Numbers that only grow: ids that both databases give out in the order of commits.
CREATE TABLE sequences (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

-- One row a stack, kept after release: the fence must never go back.
CREATE TABLE leases (
    stack    TEXT PRIMARY KEY,
    fence    BIGINT NOT NULL,
    token    TEXT NOT NULL,
    host     TEXT NOT NULL,
    pid      BIGINT NOT NULL,
    process  TEXT NOT NULL,
    command  TEXT NOT NULL,
    since    BIGINT NOT NULL,
    expires  BIGINT NOT NULL
);

CREATE TABLE revisions (
    seq        BIGINT PRIMARY KEY,
    stack      TEXT NOT NULL,
    id         TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    git_commit TEXT NOT NULL,
    origin     TEXT NOT NULL,
    model      BYTEA NOT NULL
);
CREATE INDEX revisions_stack ON revisions (stack, seq);

CREATE TABLE revision_services (
    seq         BIGINT NOT NULL,
    stack       TEXT NOT NULL,
    service     TEXT NOT NULL,
    config_hash TEXT NOT NULL,
    image_id    TEXT NOT NULL,
    stable_at   BIGINT NOT NULL,
    PRIMARY KEY (seq, service)
);
CREATE INDEX revision_services_stable ON revision_services (stack, service, seq);

CREATE TABLE attempts (
    id          TEXT PRIMARY KEY,
    stack       TEXT NOT NULL,
    job         TEXT NOT NULL,
    service     TEXT NOT NULL,
    container   TEXT NOT NULL,
    target      TEXT NOT NULL,
    operation   TEXT NOT NULL,
    rung        BIGINT NOT NULL,
    cause       TEXT NOT NULL,
    incident    TEXT NOT NULL,
    pass        TEXT NOT NULL,
    not_before  BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    outcome     TEXT NOT NULL,
    error       TEXT NOT NULL,
    verdict     TEXT NOT NULL,
    verdict_at  BIGINT NOT NULL,
    fence       BIGINT NOT NULL,
    payload     BYTEA NOT NULL
);
CREATE INDEX attempts_stack ON attempts (stack, started_at);
CREATE INDEX attempts_open ON attempts (stack) WHERE verdict = '';

CREATE TABLE overrides (
    id         BIGINT PRIMARY KEY,
    stack      TEXT NOT NULL,
    service    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    field      TEXT NOT NULL,
    value      TEXT NOT NULL,
    owner      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    until_at   BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    ended_by   TEXT NOT NULL
);
CREATE UNIQUE INDEX overrides_active ON overrides (stack, service, kind, field) WHERE ended_at = 0;

CREATE TABLE states (
    stack      TEXT NOT NULL,
    service    TEXT NOT NULL,
    document   TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (stack, service)
);

CREATE TABLE incidents (
    id          TEXT PRIMARY KEY,
    stack       TEXT NOT NULL,
    service     TEXT NOT NULL,
    cause       TEXT NOT NULL,
    state       TEXT NOT NULL,
    severity    TEXT NOT NULL,
    opened_at   BIGINT NOT NULL,
    resolved_at BIGINT NOT NULL,
    document    TEXT NOT NULL
);
CREATE INDEX incidents_stack ON incidents (stack, opened_at);

CREATE TABLE incident_events (
    id       TEXT PRIMARY KEY,
    seq      BIGINT NOT NULL,
    incident TEXT NOT NULL,
    at       BIGINT NOT NULL,
    kind     TEXT NOT NULL,
    text     TEXT NOT NULL,
    data     TEXT NOT NULL
);
CREATE INDEX incident_events_incident ON incident_events (incident, seq);

CREATE TABLE evidence (
    id        TEXT PRIMARY KEY,
    stack     TEXT NOT NULL,
    service   TEXT NOT NULL,
    incident  TEXT NOT NULL,
    attempt   TEXT NOT NULL,
    kind      TEXT NOT NULL,
    at        BIGINT NOT NULL,
    size      BIGINT NOT NULL,
    truncated BIGINT NOT NULL,
    stored    BIGINT NOT NULL,
    data      BYTEA NOT NULL
);
CREATE INDEX evidence_incident ON evidence (incident, at);
CREATE INDEX evidence_at ON evidence (at);

-- The unique key is safety rule 3: never twice for one incident and tier.
CREATE TABLE outbox (
    id         TEXT PRIMARY KEY,
    stack      TEXT NOT NULL,
    incident   TEXT NOT NULL,
    tier       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    payload    BYTEA NOT NULL,
    UNIQUE (incident, tier, kind)
);

CREATE TABLE deliveries (
    notification TEXT NOT NULL,
    channel      TEXT NOT NULL,
    stack        TEXT NOT NULL,
    attempts     BIGINT NOT NULL,
    next_at      BIGINT NOT NULL,
    delivered_at BIGINT NOT NULL,
    error        TEXT NOT NULL,
    PRIMARY KEY (notification, channel)
);
CREATE INDEX deliveries_due ON deliveries (stack, next_at) WHERE delivered_at = 0;

-- One row an hour and probe; the samples are packed.
CREATE TABLE samples (
    stack   TEXT NOT NULL,
    service TEXT NOT NULL,
    probe   TEXT NOT NULL,
    hour    BIGINT NOT NULL,
    count   BIGINT NOT NULL,
    data    BYTEA NOT NULL,
    PRIMARY KEY (stack, service, probe, hour)
);

CREATE TABLE baselines (
    stack       TEXT NOT NULL,
    service     TEXT NOT NULL,
    name        TEXT NOT NULL,
    captured_at BIGINT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (stack, service, name, captured_at)
);

-- +goose Down
DROP TABLE baselines;
DROP TABLE samples;
DROP TABLE deliveries;
DROP TABLE outbox;
DROP TABLE evidence;
DROP TABLE incident_events;
DROP TABLE incidents;
DROP TABLE states;
DROP TABLE overrides;
DROP TABLE attempts;
DROP TABLE revision_services;
DROP TABLE revisions;
DROP TABLE leases;
DROP TABLE sequences;
DROP TABLE meta;
