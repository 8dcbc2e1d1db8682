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

-- Users who were removed; their names go later than their accounts.
CREATE TABLE removals (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id),
    removed_at INTEGER NOT NULL,
    erased_at INTEGER CHECK (erased_at >= removed_at)
) STRICT;

CREATE INDEX removals_with_a_name ON removals (removed_at) WHERE erased_at IS NULL;

CREATE TRIGGER removals_are_kept BEFORE DELETE ON removals
BEGIN SELECT RAISE(ABORT, 'a removed user stays removed'); END;
CREATE TRIGGER removals_stand BEFORE UPDATE ON removals
    WHEN NEW.user_id <> OLD.user_id OR NEW.removed_at <> OLD.removed_at OR OLD.erased_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'what was erased stays erased'); END;

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
    -- Somebody else set it and handed it over: the user changes it at the next login.
    initial INTEGER NOT NULL DEFAULT 0 CHECK (initial IN (0, 1)),
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
    binding TEXT NOT NULL CHECK (binding IN ('assigned-serial', 'acquisition-code', 'first-come', 'renewal')),
    challenge BLOB NOT NULL CHECK (length(challenge) = 32),
    bearer_sha256 BLOB NOT NULL CHECK (length(bearer_sha256) = 32),
    expires_at INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    refused_code TEXT,
    refused_detail TEXT,
    -- TPM2B_NAME's content: the attestation key that the challenge was made for.
    ak_name BLOB CHECK (length(ak_name) BETWEEN 22 AND 66),
    -- The intent of the certificate that is to be renewed.
    renews BLOB CHECK (length(renews) = 16),
    CHECK ((renews IS NULL) = (binding <> 'renewal')),
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
    challenge BLOB NOT NULL CHECK (length(challenge) = 32),
    challenge_signature BLOB NOT NULL,
    -- Of a renewal: by the key of the certificate that is renewed.
    predecessor_signature BLOB,
    policy_name TEXT NOT NULL,
    policy_version INTEGER NOT NULL CHECK (policy_version BETWEEN 0 AND 4294967295),
    -- 0 for the anchors that the configuration's files name.
    trust_version INTEGER NOT NULL CHECK (trust_version BETWEEN 0 AND 4294967295),
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
    -- The intent of the certificate that this one renews. Until it is confirmed that one is the user's.
    renews BLOB REFERENCES certificates (intent),
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

-- Rule 1: one certificate or open intent per user, and beside it one renewal that isn't confirmed; and none of another user
-- on the same token.
CREATE UNIQUE INDEX one_live_certificate_per_user
    ON certificates (user_id, (renews IS NOT NULL AND confirmed_at IS NULL))
    WHERE revoked = 0 AND abandoned_at IS NULL;
CREATE UNIQUE INDEX one_live_certificate_per_token
    ON certificates (device_kind, device_serial, (renews IS NOT NULL AND confirmed_at IS NULL))
    WHERE revoked = 0 AND abandoned_at IS NULL;
CREATE INDEX renewals_of_certificate ON certificates (renews) WHERE renews IS NOT NULL;
CREATE INDEX unconfirmed_renewals ON certificates (not_before)
    WHERE renews IS NOT NULL AND confirmed_at IS NULL AND revoked = 0 AND abandoned_at IS NULL;
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
    not_before, not_after, renews, tbs ON certificates
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
CREATE INDEX orphans_of_intent ON orphans (intent);

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
-- Only the time may change, to an earlier one that a signer's journal holds.
CREATE TRIGGER revocations_stand BEFORE UPDATE ON revocations
    WHEN NEW.at >= OLD.at OR (NEW.number, NEW.issuer, NEW.serial, NEW.reason, NEW.not_after)
                          <> (OLD.number, OLD.issuer, OLD.serial, OLD.reason, OLD.not_after)
BEGIN SELECT RAISE(ABORT, 'a revocation is never changed'); END;

-- Mail: what somebody is to be told, written with its cause. A row is queued until a mail server took it (delivered), it
-- was refused for good (bounced), or what it says was no longer so (withdrawn).
CREATE TABLE outbox (
    id INTEGER NOT NULL PRIMARY KEY,
    -- See ca_core::domain::mail.
    kind TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    -- The certificate that it is about, if it is about one.
    issuer TEXT,
    serial BLOB,
    -- The address of that moment; missing once it was settled and its user was removed.
    recipient TEXT,
    -- What confirms a new address; gone once it was settled.
    code TEXT,
    queued_at INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'delivered', 'bounced', 'withdrawn')),
    -- Attempts that began. Whoever settles says which one it was, so that a late answer settles nothing.
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- When the next attempt is due; while one goes on, when it is taken for lost.
    next_attempt_at INTEGER NOT NULL,
    settled_at INTEGER,
    -- What the mail server said last, or why it couldn't be asked.
    answer TEXT,
    -- Mails about the plans for a certificate are counted from 1: each says how it is by then, and overtakes those before it.
    announcement INTEGER NOT NULL DEFAULT 0 CHECK (announcement >= 0),
    -- The date that such a mail says; none when it says that there is none any more.
    revoke_at INTEGER,
    FOREIGN KEY (issuer, serial) REFERENCES certificates (issuer, serial),
    CHECK ((announcement > 0) = (kind IN ('to-be-revoked', 'not-to-be-revoked'))),
    CHECK ((revoke_at IS NOT NULL) = (kind = 'to-be-revoked')),
    CHECK ((issuer IS NULL) = (serial IS NULL)),
    CHECK ((state = 'queued') = (settled_at IS NULL)),
    CHECK (state <> 'queued' OR recipient IS NOT NULL),
    CHECK (state = 'queued' OR code IS NULL)
) STRICT;

-- Rule 6: "each notice exactly once per certificate"; of a plan's date, each change once.
CREATE UNIQUE INDEX one_mail_of_a_kind_per_certificate ON outbox (issuer, serial, kind, announcement);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 'queued';
CREATE INDEX outbox_waiting ON outbox (queued_at) WHERE state = 'queued';
CREATE INDEX outbox_settled ON outbox (state, settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX outbox_of_user ON outbox (user_id);

CREATE TRIGGER mail_stands BEFORE UPDATE OF id, kind, user_id, issuer, serial, queued_at, announcement, revoke_at ON outbox
BEGIN SELECT RAISE(ABORT, 'a mail is never changed'); END;
CREATE TRIGGER queued_mail_is_kept BEFORE DELETE ON outbox WHEN OLD.state = 'queued'
BEGIN SELECT RAISE(ABORT, 'a queued mail is never deleted'); END;

-- Who has an address is told, whichever way it came about.
CREATE TRIGGER an_issued_certificate_is_told AFTER UPDATE OF der ON certificates
    WHEN OLD.der IS NULL AND NEW.der IS NOT NULL AND NEW.revoked = 0 AND NEW.renews IS NULL
BEGIN
    INSERT INTO outbox (kind, user_id, issuer, serial, recipient, queued_at, next_attempt_at)
    SELECT 'issued', id, NEW.issuer, NEW.serial, email, NEW.issued_at, NEW.issued_at
    FROM users WHERE id = NEW.user_id AND email IS NOT NULL;
END;
-- Of a renewal once it is the user's certificate.
CREATE TRIGGER a_renewal_is_told AFTER UPDATE OF confirmed_at ON certificates
    WHEN OLD.confirmed_at IS NULL AND NEW.confirmed_at IS NOT NULL AND NEW.renews IS NOT NULL
BEGIN
    INSERT INTO outbox (kind, user_id, issuer, serial, recipient, queued_at, next_attempt_at)
    SELECT 'renewed', id, NEW.issuer, NEW.serial, email, NEW.confirmed_at, NEW.confirmed_at
    FROM users WHERE id = NEW.user_id AND email IS NOT NULL;
END;
CREATE TRIGGER a_lock_is_told AFTER UPDATE OF locked_at ON users
    WHEN OLD.locked_at IS NULL AND NEW.locked_at IS NOT NULL AND NEW.email IS NOT NULL
BEGIN
    INSERT INTO outbox (kind, user_id, recipient, queued_at, next_attempt_at)
    VALUES ('locked', NEW.id, NEW.email, NEW.locked_at, NEW.locked_at);
END;
-- A certificate that another takes the place of (reason 4) is told of as renewed. Of one that is known as revoked already (a
-- moved ledger) there is nothing to tell.
CREATE TRIGGER a_revocation_is_told BEFORE INSERT ON revocations
BEGIN
    INSERT INTO outbox (kind, user_id, issuer, serial, recipient, queued_at, next_attempt_at)
    SELECT 'revoked', u.id, c.issuer, c.serial, u.email, NEW.at, NEW.at
    FROM certificates c JOIN users u ON u.id = c.user_id
    WHERE c.issuer = NEW.issuer AND c.serial = NEW.serial AND c.der IS NOT NULL AND c.revoked = 0
      AND (c.renews IS NULL OR c.confirmed_at IS NOT NULL) AND u.email IS NOT NULL
      AND (NEW.reason <> 4 OR NOT EXISTS (SELECT 1 FROM certificates n
                                          WHERE n.user_id = c.user_id AND n.id <> c.id
                                            AND n.der IS NOT NULL AND n.revoked = 0))
      AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.issuer = NEW.issuer AND r.serial = NEW.serial);
END;

-- A new address until the code that was mailed to it is typed in.
CREATE TABLE email_changes (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id),
    email TEXT NOT NULL,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    expires_at INTEGER NOT NULL,
    attempts_left INTEGER NOT NULL CHECK (attempts_left BETWEEN 0 AND 255)
) STRICT;

-- Trust: which makers' certificates are believed. A version is a document that two officers signed; what is read from
-- here is believed only with both signatures, so these tables can add nothing by themselves.
CREATE TABLE trust_versions (
    version INTEGER NOT NULL PRIMARY KEY CHECK (version BETWEEN 1 AND 4294967295),
    staged_by TEXT NOT NULL,
    staged_at INTEGER NOT NULL,
    approved_by TEXT NOT NULL,
    approved_at INTEGER NOT NULL,
    first_signature BLOB NOT NULL,
    second_signature BLOB NOT NULL,
    bundle BLOB NOT NULL
) STRICT;

CREATE TRIGGER trust_versions_are_kept BEFORE DELETE ON trust_versions
BEGIN SELECT RAISE(ABORT, 'a trust version is never deleted'); END;
CREATE TRIGGER trust_versions_stand BEFORE UPDATE ON trust_versions
BEGIN SELECT RAISE(ABORT, 'a trust version is never changed'); END;

-- The one that waits for its second signature.
CREATE TABLE trust_staged (
    version INTEGER NOT NULL PRIMARY KEY CHECK (version BETWEEN 1 AND 4294967295),
    staged_by TEXT NOT NULL,
    staged_at INTEGER NOT NULL,
    first_signature BLOB NOT NULL,
    bundle BLOB NOT NULL
) STRICT;

-- Plans that follow from judging the fleet's evidence again, with the certificates to be revoked at their date.
CREATE TABLE rejudgements (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id > 0),
    planned_by TEXT NOT NULL,
    planned_at INTEGER NOT NULL,
    basis TEXT NOT NULL,
    judged INTEGER NOT NULL CHECK (judged >= 0),
    revoke_at INTEGER NOT NULL,
    reason INTEGER NOT NULL CHECK (reason IN (0, 1, 3, 4, 5, 9))
) STRICT;

CREATE TABLE rejudged_certificates (
    rejudgement INTEGER NOT NULL REFERENCES rejudgements (id),
    issuer TEXT NOT NULL,
    serial BLOB NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (rejudgement, issuer, serial),
    FOREIGN KEY (issuer, serial) REFERENCES certificates (issuer, serial)
) STRICT, WITHOUT ROWID;

-- Notices ask what is planned for a certificate.
CREATE INDEX rejudged_certificates_by_serial ON rejudged_certificates (issuer, serial);

CREATE TABLE rejudgement_ends (
    rejudgement INTEGER NOT NULL PRIMARY KEY REFERENCES rejudgements (id),
    ended TEXT NOT NULL CHECK (ended IN ('done', 'cancelled')),
    at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER rejudgements_are_kept BEFORE DELETE ON rejudgements
BEGIN SELECT RAISE(ABORT, 'a plan is never deleted'); END;
CREATE TRIGGER rejudgements_stand BEFORE UPDATE ON rejudgements
BEGIN SELECT RAISE(ABORT, 'a plan is never changed'); END;
CREATE TRIGGER rejudged_certificates_are_kept BEFORE DELETE ON rejudged_certificates
BEGIN SELECT RAISE(ABORT, 'a plan is never deleted'); END;
CREATE TRIGGER rejudged_certificates_stand BEFORE UPDATE ON rejudged_certificates
BEGIN SELECT RAISE(ABORT, 'a plan is never changed'); END;
CREATE TRIGGER rejudgement_ends_are_kept BEFORE DELETE ON rejudgement_ends
BEGIN SELECT RAISE(ABORT, 'the end of a plan is never deleted'); END;
CREATE TRIGGER rejudgement_ends_stand BEFORE UPDATE ON rejudgement_ends
BEGIN SELECT RAISE(ABORT, 'the end of a plan is never changed'); END;

-- A row per issuer: counters that only rise.
CREATE TABLE issuers (
    issuer TEXT NOT NULL PRIMARY KEY,
    last_crl_number INTEGER NOT NULL DEFAULT 0,
    -- CRLs up to this number may say a later time than a revocation has by now, or there was a later one, which is lost.
    crls_outdated_to INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TRIGGER crl_numbers_rise BEFORE UPDATE ON issuers
    WHEN NEW.last_crl_number < OLD.last_crl_number OR NEW.crls_outdated_to < OLD.crls_outdated_to
BEGIN SELECT RAISE(ABORT, 'CRL numbers rise'); END;

-- The signers of all nodes: how far each one's journal and this ledger agree.
CREATE TABLE signers (
    issuer TEXT NOT NULL,
    name TEXT NOT NULL,
    journal BLOB NOT NULL CHECK (length(journal) = 16),
    reconciled_sequence INTEGER CHECK (reconciled_sequence > 0),
    reconciled_hash BLOB CHECK (length(reconciled_hash) = 32),
    revocations_to INTEGER NOT NULL DEFAULT 0 CHECK (revocations_to >= 0),
    journaled_sequence INTEGER CHECK (journaled_sequence > 0),
    journaled_hash BLOB CHECK (length(journaled_hash) = 32),
    anchors_accepted_to INTEGER NOT NULL DEFAULT 0 CHECK (anchors_accepted_to >= 0),
    introduced_at INTEGER NOT NULL,
    retired_at INTEGER,
    PRIMARY KEY (issuer, name),
    CHECK ((reconciled_sequence IS NULL) = (reconciled_hash IS NULL)),
    CHECK ((journaled_sequence IS NULL) = (journaled_hash IS NULL))
) STRICT;

CREATE TRIGGER signers_are_kept BEFORE DELETE ON signers
BEGIN SELECT RAISE(ABORT, 'a signer is never forgotten'); END;
CREATE TRIGGER signers_keep_their_journal BEFORE UPDATE OF issuer, name, journal ON signers
BEGIN SELECT RAISE(ABORT, 'a signer keeps its journal'); END;
CREATE TRIGGER signers_go_forward BEFORE UPDATE ON signers
    WHEN NEW.reconciled_sequence < OLD.reconciled_sequence OR NEW.revocations_to < OLD.revocations_to
      OR NEW.anchors_accepted_to < OLD.anchors_accepted_to OR NEW.journaled_sequence < OLD.journaled_sequence
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
CREATE INDEX logins_by_time ON logins (at);

-- Policies: each version stands as it was set, and the last assignment of a contract counts. `number` rises over both
-- tables: nodes look for a new one.
CREATE TABLE policies (
    name TEXT NOT NULL CHECK (name <> 'bank'),
    version INTEGER NOT NULL CHECK (version BETWEEN 1 AND 4294967295),
    number INTEGER NOT NULL UNIQUE CHECK (number > 0),
    reason TEXT NOT NULL,
    set_by TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

CREATE TRIGGER policies_have_no_gaps BEFORE INSERT ON policies
    WHEN NEW.version <> (SELECT coalesce(max(version), 0) + 1 FROM policies WHERE name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'a policy has every version once'); END;
CREATE TRIGGER policies_are_kept BEFORE DELETE ON policies
BEGIN SELECT RAISE(ABORT, 'a policy is never deleted'); END;
CREATE TRIGGER policies_stand BEFORE UPDATE ON policies
BEGIN SELECT RAISE(ABORT, 'a policy is never changed'); END;

-- Without policy: the bank's own again.
CREATE TABLE policy_assignments (
    number INTEGER NOT NULL PRIMARY KEY CHECK (number > 0),
    contract TEXT NOT NULL REFERENCES contracts (number),
    policy TEXT,
    reason TEXT NOT NULL,
    assigned_by TEXT NOT NULL,
    assigned_at INTEGER NOT NULL
) STRICT;

CREATE INDEX policy_assignments_of_contract ON policy_assignments (contract, number);

CREATE TRIGGER policy_assignments_are_kept BEFORE DELETE ON policy_assignments
BEGIN SELECT RAISE(ABORT, 'an assignment is never deleted'); END;
CREATE TRIGGER policy_assignments_stand BEFORE UPDATE ON policy_assignments
BEGIN SELECT RAISE(ABORT, 'an assignment is never changed'); END;

-- The token inventory. Which user a token is assigned to stands with the user.
CREATE TABLE tokens (
    kind TEXT NOT NULL,
    serial TEXT NOT NULL,
    model TEXT,
    state TEXT NOT NULL CHECK (state IN ('in-stock', 'handed-out', 'lost', 'broken', 'replaced', 'returned', 'retired')),
    contract TEXT REFERENCES contracts (number),
    registered_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (kind, serial),
    CHECK ((state = 'handed-out') = (contract IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_in_state ON tokens (state, kind, serial);
CREATE INDEX tokens_of_contract ON tokens (contract, kind, serial) WHERE contract IS NOT NULL;

CREATE TRIGGER tokens_are_kept BEFORE DELETE ON tokens
BEGIN SELECT RAISE(ABORT, 'a token is never forgotten'); END;
CREATE TRIGGER tokens_keep_their_identity BEFORE UPDATE OF kind, serial, registered_at ON tokens
BEGIN SELECT RAISE(ABORT, 'a token keeps kind and serial number'); END;
CREATE TRIGGER retired_tokens_stay_retired BEFORE UPDATE OF state ON tokens
    WHEN OLD.state = 'retired' AND NEW.state <> 'retired'
BEGIN SELECT RAISE(ABORT, 'a retired token stays retired'); END;

-- PUKs in the bank's custody, encrypted under a key that isn't here. Of a token there are two at the most: the one that it
-- has, and the one that it is about to get; what the token has no more is deleted.
CREATE TABLE puks (
    deposit BLOB NOT NULL PRIMARY KEY CHECK (length(deposit) = 16),
    device_kind TEXT NOT NULL,
    device_serial TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    key_version INTEGER NOT NULL CHECK (key_version BETWEEN 1 AND 4294967295),
    nonce BLOB NOT NULL CHECK (length(nonce) = 12),
    sealed BLOB NOT NULL CHECK (length(sealed) BETWEEN 17 AND 64),
    deposited_at INTEGER NOT NULL,
    confirmed_at INTEGER
) STRICT;

CREATE INDEX puks_of_token ON puks (device_kind, device_serial, deposited_at);
CREATE INDEX puks_of_user ON puks (user_id);
CREATE INDEX puks_by_key ON puks (key_version, deposit);

CREATE TRIGGER two_puks_per_token BEFORE INSERT ON puks
    WHEN (SELECT count(*) FROM puks WHERE device_kind = NEW.device_kind AND device_serial = NEW.device_serial) > 1
BEGIN SELECT RAISE(ABORT, 'of a token two PUKs are kept at the most'); END;
CREATE TRIGGER puks_stay_where_they_are BEFORE UPDATE OF deposit, device_kind, device_serial, user_id, deposited_at ON puks
BEGIN SELECT RAISE(ABORT, 'a PUK stays that of its token'); END;

-- Requests to unblock a PIN.
CREATE TABLE unblockings (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- The order in which they came.
    number INTEGER NOT NULL UNIQUE CHECK (number > 0),
    idempotency_key TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id),
    device_kind TEXT NOT NULL,
    device_serial TEXT NOT NULL,
    bearer_sha256 BLOB NOT NULL CHECK (length(bearer_sha256) = 32),
    asked_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN ('waiting', 'approved', 'released', 'done', 'declined', 'withdrawn')),
    decided_by TEXT,
    decided_at INTEGER,
    CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
    CHECK (stage NOT IN ('approved', 'released', 'done', 'declined') OR decided_by IS NOT NULL)
) STRICT;

CREATE INDEX unblockings_of_user ON unblockings (user_id, number);
CREATE INDEX unblockings_that_wait ON unblockings (number) WHERE stage = 'waiting';

CREATE TRIGGER unblockings_are_kept BEFORE DELETE ON unblockings
BEGIN SELECT RAISE(ABORT, 'a request is never deleted'); END;
CREATE TRIGGER unblockings_stand BEFORE UPDATE OF id, number, idempotency_key, user_id, device_kind, device_serial, asked_at
    ON unblockings
BEGIN SELECT RAISE(ABORT, 'a request is never changed'); END;
CREATE TRIGGER unblockings_go_forward BEFORE UPDATE OF stage ON unblockings
    WHEN NEW.stage <> OLD.stage AND (OLD.stage, NEW.stage) NOT IN (
        VALUES ('waiting', 'approved'), ('waiting', 'declined'), ('waiting', 'withdrawn'), ('approved', 'released'),
               ('approved', 'withdrawn'), ('released', 'done'), ('released', 'withdrawn'))
BEGIN SELECT RAISE(ABORT, 'a PUK is released once, after an approval'); END;

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

-- Staff: who works at the console, and what takes two of them. What a row says of the past is in the audit trail.
CREATE TABLE staff (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    -- Names with blanks between them; see ca_core::domain::staff.
    roles TEXT NOT NULL CHECK (roles <> ''),
    state TEXT NOT NULL CHECK (state IN ('active', 'withdrawn')),
    key_sha256 BLOB NOT NULL CHECK (length(key_sha256) = 32),
    admitted_at INTEGER NOT NULL,
    certificate BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX one_active_member_per_key ON staff (key_sha256) WHERE state = 'active';

CREATE TRIGGER staff_are_kept BEFORE DELETE ON staff
BEGIN SELECT RAISE(ABORT, 'a member of staff is never deleted'); END;
CREATE TRIGGER staff_keep_their_id BEFORE UPDATE OF id ON staff
BEGIN SELECT RAISE(ABORT, 'a member of staff keeps the ID'); END;

CREATE TABLE staff_sessions (
    token_sha256 BLOB NOT NULL PRIMARY KEY CHECK (length(token_sha256) = 32),
    csrf_sha256 BLOB NOT NULL CHECK (length(csrf_sha256) = 32),
    member TEXT NOT NULL REFERENCES staff (id),
    key_sha256 BLOB NOT NULL CHECK (length(key_sha256) = 32),
    opened_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL
) STRICT;

CREATE INDEX staff_sessions_of_member ON staff_sessions (member);

-- Requests, and their ends: rows are only ever added, and of several decisions at once one finds room.
CREATE TABLE approvals (
    id INTEGER NOT NULL PRIMARY KEY,
    request BLOB NOT NULL UNIQUE CHECK (length(request) = 16),
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    reason TEXT NOT NULL,
    asked_by TEXT NOT NULL REFERENCES staff (id),
    asked_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    attachment BLOB,
    CHECK (asked_at < expires_at)
) STRICT;

CREATE INDEX approvals_by_expiry ON approvals (expires_at);

CREATE TABLE approval_ends (
    approval BLOB NOT NULL PRIMARY KEY REFERENCES approvals (request),
    outcome TEXT NOT NULL CHECK (outcome IN ('executed', 'refused', 'withdrawn')),
    ended_by TEXT NOT NULL REFERENCES staff (id),
    ended_at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER approvals_are_kept BEFORE DELETE ON approvals
BEGIN SELECT RAISE(ABORT, 'a request is never deleted'); END;
CREATE TRIGGER approvals_stand BEFORE UPDATE ON approvals
BEGIN SELECT RAISE(ABORT, 'a request is never changed'); END;
CREATE TRIGGER approval_ends_are_kept BEFORE DELETE ON approval_ends
BEGIN SELECT RAISE(ABORT, 'a decision is never deleted'); END;
CREATE TRIGGER approval_ends_stand BEFORE UPDATE ON approval_ends
BEGIN SELECT RAISE(ABORT, 'a decision is never changed'); END;
CREATE TRIGGER four_eyes BEFORE INSERT ON approval_ends
    WHEN (NEW.outcome = 'withdrawn') <> (NEW.ended_by = (SELECT asked_by FROM approvals WHERE request = NEW.approval))
BEGIN SELECT RAISE(ABORT, 'whoever asks can only withdraw'); END;

-- What the staff's searches read.
CREATE INDEX contracts_by_name ON contracts (name, number);
CREATE INDEX users_by_name ON users (display_name, id);
CREATE INDEX users_by_token ON users (device_serial) WHERE device_serial IS NOT NULL;
-- Without the four actions that each certificate in passing leaves; the query repeats the condition word by word.
CREATE INDEX audit_by_subject ON audit (subject, sequence) WHERE action NOT IN
    ('enrolment.opened', 'certificate.intended', 'certificate.issued', 'certificate.confirmed');

-- Removed users whose name is still there and who are told nothing any more, and since when nothing needs it.
CREATE VIEW erasable_users (user_id, since) AS
SELECT user_id,
       max(removed_at, coalesce((SELECT max(c.not_after) FROM certificates c
                                  WHERE c.user_id = r.user_id AND c.revoked = 0 AND c.abandoned_at IS NULL), 0))
FROM removals r
WHERE erased_at IS NULL AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.user_id = r.user_id AND o.state = 'queued');

-- Personal data with a period (ca_core::domain::retention): what it is, its key as text, and since when the period runs. What
-- isn't here is never erased. An enrolment that a certificate or an orphan names is kept with it; a mail of a planned revocation
-- as long as the plan stands, for it says what its user was told.
CREATE VIEW erasable (kind, record, since) AS
SELECT 'logins', CAST(id AS TEXT), at FROM logins
UNION ALL
SELECT 'mail', CAST(id AS TEXT), settled_at FROM outbox o
WHERE state IN ('delivered', 'bounced', 'withdrawn') AND settled_at IS NOT NULL
  AND NOT (announcement > 0 AND EXISTS (
      SELECT 1 FROM rejudged_certificates r WHERE r.issuer = o.issuer AND r.serial = o.serial
         AND NOT EXISTS (SELECT 1 FROM rejudgement_ends e WHERE e.rejudgement = r.rejudgement)))
UNION ALL
SELECT 'enrolments', hex(id), expires_at FROM enrolments n
WHERE NOT EXISTS (SELECT 1 FROM certificates c WHERE c.intent = n.id)
  AND NOT EXISTS (SELECT 1 FROM orphans o WHERE o.intent = n.id)
UNION ALL
SELECT 'evidence', hex(e.enrolment), c.not_after FROM evidence e JOIN certificates c ON c.intent = e.enrolment
UNION ALL
SELECT 'removed-users', user_id, since FROM erasable_users;

-- A ledger that was moved elsewhere says where to, and nothing is written any more.
CREATE TABLE moved (
    destination TEXT NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER a_moved_ledger_stands BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM moved)
BEGIN SELECT RAISE(ABORT, 'this ledger was moved elsewhere'); END;
