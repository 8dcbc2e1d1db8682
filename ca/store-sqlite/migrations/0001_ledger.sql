-- The ledger. Times are milliseconds since 1970-01-01T00:00Z; identifiers are what ca-core prints, hashes and UUIDs raw.
-- What must never happen is refused here, whatever the program says: constraints and indexes for what may stand,
-- triggers for what may change.

-- The versions of this schema, each with the oldest version of the program's schema that works with it: the schema may be
-- ahead of a running program.
CREATE TABLE schema_versions (
    version INTEGER NOT NULL PRIMARY KEY,
    works_with INTEGER NOT NULL CHECK (works_with BETWEEN 1 AND version)
) STRICT;

INSERT INTO schema_versions (version, works_with) VALUES (1, 1);

CREATE TABLE contracts (
    number TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    general_users INTEGER NOT NULL CHECK (general_users BETWEEN 0 AND 65535),
    registered_at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER contracts_are_kept BEFORE DELETE ON contracts
BEGIN SELECT RAISE(ABORT, 'a contract is never deleted'); END;

-- The primary key holds removed users too: an ID is never given twice.
CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    contract TEXT NOT NULL REFERENCES contracts (number),
    role TEXT NOT NULL CHECK (role IN ('master', 'general')),
    display_name TEXT NOT NULL,
    email TEXT,
    state TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'removed')),
    device_kind TEXT,
    device_serial TEXT,
    locked_at INTEGER,
    registered_at INTEGER NOT NULL,
    CHECK ((device_kind IS NULL) = (device_serial IS NULL)),
    CHECK (state <> 'removed' OR device_kind IS NULL)
) STRICT;

CREATE INDEX users_of_contract ON users (contract, role);
CREATE UNIQUE INDEX one_master_per_contract ON users (contract) WHERE role = 'master' AND state <> 'removed';
CREATE UNIQUE INDEX one_user_per_assigned_token ON users (device_kind, device_serial)
    WHERE device_kind IS NOT NULL;

CREATE TRIGGER users_are_kept BEFORE DELETE ON users
BEGIN SELECT RAISE(ABORT, 'a user is never deleted'); END;
CREATE TRIGGER users_keep_their_identity BEFORE UPDATE OF id, contract, role ON users
BEGIN SELECT RAISE(ABORT, 'a user keeps ID, contract and role'); END;
CREATE TRIGGER removed_users_stay_removed BEFORE UPDATE OF state ON users
    WHEN OLD.state = 'removed' AND NEW.state <> 'removed'
BEGIN SELECT RAISE(ABORT, 'a removed user stays removed'); END;

CREATE TABLE acquisition_codes (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id),
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    expires_at INTEGER NOT NULL,
    attempts_left INTEGER NOT NULL CHECK (attempts_left BETWEEN 0 AND 255)
) STRICT;

CREATE TABLE passwords (
    user_id TEXT NOT NULL REFERENCES users (id),
    kind TEXT NOT NULL CHECK (kind IN ('login', 'confirmation')),
    phc TEXT NOT NULL CHECK (phc LIKE '$argon2id$%'),
    PRIMARY KEY (user_id, kind)
) STRICT;

-- Wrong passwords in a row. Apart from `passwords`, because a user without one is guessed at as well.
CREATE TABLE wrong_passwords (
    user_id TEXT NOT NULL REFERENCES users (id),
    kind TEXT NOT NULL CHECK (kind IN ('login', 'confirmation')),
    in_a_row INTEGER NOT NULL CHECK (in_a_row > 0),
    PRIMARY KEY (user_id, kind)
) STRICT;

-- A challenge is out until the enrolment is refused, or has a certificate whose intent it is.
CREATE TABLE enrolments (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    idempotency_key TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id),
    device_kind TEXT NOT NULL,
    device_serial TEXT NOT NULL,
    binding TEXT NOT NULL CHECK (binding IN ('assigned-serial', 'acquisition-code')),
    challenge BLOB NOT NULL CHECK (length(challenge) = 32),
    bearer_sha256 BLOB NOT NULL CHECK (length(bearer_sha256) = 32),
    expires_at INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    refused_code TEXT,
    refused_detail TEXT,
    -- TPM2B_NAME's content: the attestation key that the challenge was made for.
    ak_name BLOB CHECK (length(ak_name) BETWEEN 22 AND 66),
    CHECK ((ak_name IS NULL) OR device_kind = 'tpm'),
    CHECK ((refused_code IS NULL) = (refused_detail IS NULL))
) STRICT;

CREATE TRIGGER refusals_stand BEFORE UPDATE OF refused_code, refused_detail ON enrolments
    WHEN OLD.refused_code IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a refused enrolment stays refused'); END;

CREATE TABLE evidence (
    enrolment BLOB NOT NULL PRIMARY KEY REFERENCES enrolments (id),
    format TEXT NOT NULL,
    csr BLOB NOT NULL,
    policy_version INTEGER NOT NULL CHECK (policy_version BETWEEN 0 AND 4294967295),
    verdict TEXT NOT NULL,
    decoded TEXT NOT NULL,
    judged_at INTEGER NOT NULL
) STRICT;

CREATE TABLE evidence_parts (
    enrolment BLOB NOT NULL REFERENCES evidence (enrolment),
    position INTEGER NOT NULL CHECK (position >= 0),
    part BLOB NOT NULL,
    PRIMARY KEY (enrolment, position)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER evidence_stands BEFORE UPDATE ON evidence
BEGIN SELECT RAISE(ABORT, 'evidence is never changed'); END;
CREATE TRIGGER evidence_parts_stand BEFORE UPDATE ON evidence_parts
BEGIN SELECT RAISE(ABORT, 'evidence is never changed'); END;

-- From the intent on. Wide columns last, so that reading the state doesn't walk through them.
CREATE TABLE certificates (
    id INTEGER NOT NULL PRIMARY KEY,
    intent BLOB NOT NULL UNIQUE REFERENCES enrolments (id),
    issuer TEXT NOT NULL,
    signer TEXT NOT NULL,
    serial BLOB NOT NULL CHECK (length(serial) BETWEEN 1 AND 20),
    user_id TEXT NOT NULL REFERENCES users (id),
    device_kind TEXT NOT NULL,
    device_serial TEXT NOT NULL,
    assurance TEXT NOT NULL CHECK (assurance IN ('asserted', 'attested', 'attested-pin')),
    public_key_sha256 BLOB NOT NULL CHECK (length(public_key_sha256) = 32),
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    abandoned_at INTEGER,
    -- 1 if `revocations` has it; kept by the trigger there, because a partial index sees only its own table.
    revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    issued_at INTEGER,
    journal_sequence INTEGER CHECK (journal_sequence > 0),
    journal_hash BLOB CHECK (length(journal_hash) = 32),
    confirmed_at INTEGER,
    tbs BLOB NOT NULL,
    der BLOB,
    UNIQUE (issuer, serial),
    CHECK (not_before < not_after),
    CHECK ((der IS NULL) = (issued_at IS NULL)),
    CHECK ((der IS NULL) = (journal_sequence IS NULL)),
    CHECK ((der IS NULL) = (journal_hash IS NULL)),
    CHECK (abandoned_at IS NULL OR (der IS NULL AND revoked = 0)),
    CHECK (der IS NOT NULL OR confirmed_at IS NULL)
) STRICT;

-- Rule 1: one certificate or open intent per user; and none of another user on the same token.
CREATE UNIQUE INDEX one_live_certificate_per_user ON certificates (user_id)
    WHERE revoked = 0 AND abandoned_at IS NULL;
CREATE UNIQUE INDEX one_live_certificate_per_token ON certificates (device_kind, device_serial)
    WHERE revoked = 0 AND abandoned_at IS NULL;
-- A key is certified once, ever; an abandoned intent certified nothing.
CREATE UNIQUE INDEX one_certificate_per_key ON certificates (public_key_sha256) WHERE abandoned_at IS NULL;
CREATE INDEX certificates_of_user ON certificates (user_id);
CREATE INDEX certificates_of_issuer ON certificates (issuer);
CREATE INDEX certificates_of_journal ON certificates (issuer, signer, journal_sequence)
    WHERE journal_sequence IS NOT NULL;
-- What expires soon is counted, and people are told of it.
CREATE INDEX certificates_by_expiry ON certificates (issuer, not_after) WHERE der IS NOT NULL AND revoked = 0;
CREATE INDEX open_intents ON certificates (issuer, signer, not_before)
    WHERE der IS NULL AND revoked = 0 AND abandoned_at IS NULL;

CREATE TRIGGER certificates_are_kept BEFORE DELETE ON certificates
BEGIN SELECT RAISE(ABORT, 'a certificate is never deleted'); END;
CREATE TRIGGER intents_stand BEFORE UPDATE OF
    id, intent, issuer, signer, serial, user_id, device_kind, device_serial, assurance, public_key_sha256,
    not_before, not_after, tbs ON certificates
BEGIN SELECT RAISE(ABORT, 'an intent is never changed'); END;
CREATE TRIGGER issued_certificates_stand BEFORE UPDATE OF issued_at, journal_sequence, journal_hash, der
    ON certificates WHEN OLD.der IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an issued certificate is never changed'); END;
CREATE TRIGGER abandoned_intents_stand BEFORE UPDATE OF abandoned_at ON certificates
    WHEN OLD.abandoned_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an abandoned intent stays abandoned'); END;
CREATE TRIGGER revoked_certificates_stand BEFORE UPDATE OF revoked ON certificates
    WHEN OLD.revoked = 1 AND NEW.revoked = 0
BEGIN SELECT RAISE(ABORT, 'nothing un-revokes'); END;

-- Certificates of the signer's journal without an intent here.
CREATE TABLE orphans (
    issuer TEXT NOT NULL,
    signer TEXT NOT NULL,
    journal_sequence INTEGER NOT NULL CHECK (journal_sequence > 0),
    journal_hash BLOB NOT NULL CHECK (length(journal_hash) = 32),
    intent BLOB NOT NULL CHECK (length(intent) = 16),
    serial BLOB NOT NULL CHECK (length(serial) BETWEEN 1 AND 20),
    not_after INTEGER NOT NULL,
    found_at INTEGER NOT NULL,
    der BLOB NOT NULL,
    PRIMARY KEY (issuer, serial)
) STRICT;

CREATE INDEX orphans_of_issuer ON orphans (issuer, journal_sequence);

CREATE TRIGGER orphans_are_kept BEFORE DELETE ON orphans
BEGIN SELECT RAISE(ABORT, 'an orphan is never deleted'); END;

-- Certificates of OCSP responders that were renewed here, from the intent on. They belong to no user.
CREATE TABLE responders (
    intent BLOB NOT NULL PRIMARY KEY CHECK (length(intent) = 16),
    issuer TEXT NOT NULL,
    signer TEXT NOT NULL,
    serial BLOB NOT NULL CHECK (length(serial) BETWEEN 1 AND 20),
    public_key_sha256 BLOB NOT NULL CHECK (length(public_key_sha256) = 32),
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    abandoned_at INTEGER,
    issued_at INTEGER,
    journal_sequence INTEGER CHECK (journal_sequence > 0),
    journal_hash BLOB CHECK (length(journal_hash) = 32),
    tbs BLOB NOT NULL,
    der BLOB,
    UNIQUE (issuer, serial),
    CHECK (not_before < not_after),
    CHECK ((der IS NULL) = (issued_at IS NULL)),
    CHECK ((der IS NULL) = (journal_sequence IS NULL)),
    CHECK ((der IS NULL) = (journal_hash IS NULL)),
    CHECK (abandoned_at IS NULL OR der IS NULL)
) STRICT;

CREATE INDEX responders_of_key ON responders (issuer, public_key_sha256, not_after);
CREATE INDEX responders_of_signer ON responders (issuer, signer);

CREATE TRIGGER responders_are_kept BEFORE DELETE ON responders
BEGIN SELECT RAISE(ABORT, 'a certificate is never deleted'); END;
CREATE TRIGGER responder_intents_stand BEFORE UPDATE OF
    intent, issuer, signer, serial, public_key_sha256, not_before, not_after, tbs ON responders
BEGIN SELECT RAISE(ABORT, 'an intent is never changed'); END;
CREATE TRIGGER issued_responders_stand BEFORE UPDATE OF issued_at, journal_sequence, journal_hash, der
    ON responders WHEN OLD.der IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an issued certificate is never changed'); END;
CREATE TRIGGER abandoned_responders_stand BEFORE UPDATE OF abandoned_at ON responders
    WHEN OLD.abandoned_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an abandoned intent stays abandoned'); END;

-- Of certificates and orphans alike, and of what only a signer's journal still knows. In the order of the CRL, and
-- narrow: this is what a CRL of a million is read from.
CREATE TABLE revocations (
    -- Rises with the commits; each signer's journal is told in this order.
    number INTEGER NOT NULL CHECK (number > 0),
    issuer TEXT NOT NULL,
    serial BLOB NOT NULL CHECK (length(serial) BETWEEN 1 AND 20),
    at INTEGER NOT NULL,
    reason INTEGER NOT NULL CHECK (reason IN (0, 1, 3, 4, 5, 9)),
    not_after INTEGER NOT NULL,
    PRIMARY KEY (issuer, serial)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX revocations_in_order ON revocations (number);

CREATE TRIGGER revocations_reach_the_certificate AFTER INSERT ON revocations
BEGIN
    UPDATE certificates SET revoked = 1
    WHERE issuer = NEW.issuer AND serial = NEW.serial AND abandoned_at IS NULL;
END;
CREATE TRIGGER revocations_are_kept BEFORE DELETE ON revocations
BEGIN SELECT RAISE(ABORT, 'nothing un-revokes'); END;
CREATE TRIGGER revocations_stand BEFORE UPDATE ON revocations
BEGIN SELECT RAISE(ABORT, 'a revocation is never changed'); END;

-- A row per issuer: counters that only rise.
CREATE TABLE issuers (
    issuer TEXT NOT NULL PRIMARY KEY,
    last_crl_number INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TRIGGER crl_numbers_rise BEFORE UPDATE OF last_crl_number ON issuers
    WHEN NEW.last_crl_number < OLD.last_crl_number
BEGIN SELECT RAISE(ABORT, 'CRL numbers rise'); END;

-- The signers of all nodes: how far each one's journal and this ledger agree.
CREATE TABLE signers (
    issuer TEXT NOT NULL,
    name TEXT NOT NULL,
    journal BLOB NOT NULL CHECK (length(journal) = 16),
    reconciled_sequence INTEGER CHECK (reconciled_sequence > 0),
    reconciled_hash BLOB CHECK (length(reconciled_hash) = 32),
    revocations_to INTEGER NOT NULL DEFAULT 0 CHECK (revocations_to >= 0),
    anchors_accepted_to INTEGER NOT NULL DEFAULT 0 CHECK (anchors_accepted_to >= 0),
    introduced_at INTEGER NOT NULL,
    retired_at INTEGER,
    PRIMARY KEY (issuer, name),
    CHECK ((reconciled_sequence IS NULL) = (reconciled_hash IS NULL))
) STRICT;

CREATE TRIGGER signers_are_kept BEFORE DELETE ON signers
BEGIN SELECT RAISE(ABORT, 'a signer is never forgotten'); END;
CREATE TRIGGER signers_keep_their_journal BEFORE UPDATE OF issuer, name, journal ON signers
BEGIN SELECT RAISE(ABORT, 'a signer keeps its journal'); END;
CREATE TRIGGER signers_go_forward BEFORE UPDATE ON signers
    WHEN NEW.reconciled_sequence < OLD.reconciled_sequence OR NEW.revocations_to < OLD.revocations_to
      OR NEW.anchors_accepted_to < OLD.anchors_accepted_to
BEGIN SELECT RAISE(ABORT, 'reconciliation never goes back'); END;

-- Which node does what only one may do at a time. Times are the database's.
CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- The current CRL of each issuer; the signer's journal has them all.
CREATE TABLE crls (
    issuer TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL CHECK (number > 0),
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    -- Entries are of certificates with this notAfter or a later one.
    listed_from INTEGER NOT NULL,
    entries INTEGER NOT NULL CHECK (entries >= 0),
    der BLOB NOT NULL,
    CHECK (this_update < next_update AND listed_from <= this_update)
) STRICT;

CREATE TRIGGER crls_rise BEFORE UPDATE ON crls WHEN NEW.number <= OLD.number
BEGIN SELECT RAISE(ABORT, 'CRL numbers rise'); END;

CREATE TABLE sessions (
    token_sha256 BLOB NOT NULL PRIMARY KEY CHECK (length(token_sha256) = 32),
    csrf_sha256 BLOB NOT NULL CHECK (length(csrf_sha256) = 32),
    user_id TEXT NOT NULL REFERENCES users (id),
    issuer TEXT NOT NULL,
    serial BLOB NOT NULL,
    opened_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    FOREIGN KEY (issuer, serial) REFERENCES certificates (issuer, serial)
) STRICT;

CREATE INDEX sessions_of_user ON sessions (user_id);

CREATE TABLE logins (
    id INTEGER NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    at INTEGER NOT NULL,
    issuer TEXT NOT NULL,
    serial BLOB NOT NULL
) STRICT;

CREATE INDEX logins_of_user ON logins (user_id);

-- Hash-chained; see ca_core::domain::audit.
CREATE TABLE audit (
    sequence INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    details TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER audit_has_no_gaps BEFORE INSERT ON audit
    WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM audit)
BEGIN SELECT RAISE(ABORT, 'the audit trail has no gaps'); END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is never shortened'); END;
CREATE TRIGGER audit_stands BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is never changed'); END;

-- A ledger that was moved elsewhere says where to, and nothing is written any more.
CREATE TABLE moved (
    destination TEXT NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER a_moved_ledger_stands BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM moved)
BEGIN SELECT RAISE(ABORT, 'this ledger was moved elsewhere'); END;
