-- The ledger. Times are milliseconds since 1970-01-01T00:00Z; identifiers are what ca-core prints, hashes and UUIDs raw.
-- What must never happen is refused here, whatever the program says: constraints and indexes for what may stand,
-- triggers for what may change. Text is compared octet by octet (collation "C"): its order is the program's, and no
-- upgrade of the system's locales can spoil an index.

-- The versions of this schema, each with the oldest version of the program's schema that works with it: migrations come
-- first, then the nodes are restarted one by one.
CREATE TABLE schema_versions (
    version BIGINT NOT NULL PRIMARY KEY,
    works_with BIGINT NOT NULL CHECK (works_with BETWEEN 1 AND version)
);

INSERT INTO schema_versions (version, works_with) VALUES (1, 1);

-- For triggers: their argument says why not.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = TG_ARGV[0];
END $$;

CREATE TABLE contracts (
    number TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    general_users BIGINT NOT NULL CHECK (general_users BETWEEN 0 AND 65535),
    registered_at BIGINT NOT NULL
);

CREATE TRIGGER contracts_are_kept BEFORE DELETE ON contracts
    FOR EACH ROW EXECUTE FUNCTION refuse('a contract is never deleted');

-- The primary key holds removed users too: an ID is never given twice.
CREATE TABLE users (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    contract TEXT COLLATE "C" NOT NULL REFERENCES contracts (number),
    role TEXT COLLATE "C" NOT NULL CHECK (role IN ('master', 'general')),
    display_name TEXT COLLATE "C" NOT NULL,
    email TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'suspended', 'removed')),
    device_kind TEXT COLLATE "C",
    device_serial TEXT COLLATE "C",
    locked_at BIGINT,
    registered_at BIGINT NOT NULL,
    CHECK ((device_kind IS NULL) = (device_serial IS NULL)),
    CHECK (state <> 'removed' OR device_kind IS NULL)
);

CREATE INDEX users_of_contract ON users (contract, role);
CREATE UNIQUE INDEX one_master_per_contract ON users (contract) WHERE role = 'master' AND state <> 'removed';
CREATE UNIQUE INDEX one_user_per_assigned_token ON users (device_kind, device_serial)
    WHERE device_kind IS NOT NULL;

CREATE TRIGGER users_are_kept BEFORE DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION refuse('a user is never deleted');
CREATE TRIGGER users_keep_their_identity BEFORE UPDATE OF id, contract, role ON users
    FOR EACH ROW EXECUTE FUNCTION refuse('a user keeps ID, contract and role');
CREATE TRIGGER removed_users_stay_removed BEFORE UPDATE OF state ON users
    FOR EACH ROW WHEN (OLD.state = 'removed' AND NEW.state <> 'removed')
    EXECUTE FUNCTION refuse('a removed user stays removed');

-- Users who were removed; their names go later than their accounts.
CREATE TABLE removals (
    user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES users (id),
    removed_at BIGINT NOT NULL,
    erased_at BIGINT CHECK (erased_at >= removed_at)
);

CREATE INDEX removals_with_a_name ON removals (removed_at) WHERE erased_at IS NULL;

CREATE TRIGGER removals_are_kept BEFORE DELETE ON removals
    FOR EACH ROW EXECUTE FUNCTION refuse('a removed user stays removed');
CREATE TRIGGER removals_stand BEFORE UPDATE ON removals
    FOR EACH ROW
    WHEN (NEW.user_id <> OLD.user_id OR NEW.removed_at <> OLD.removed_at OR OLD.erased_at IS NOT NULL)
    EXECUTE FUNCTION refuse('what was erased stays erased');

CREATE TABLE acquisition_codes (
    user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES users (id),
    sha256 BYTEA NOT NULL CHECK (length(sha256) = 32),
    expires_at BIGINT NOT NULL,
    attempts_left BIGINT NOT NULL CHECK (attempts_left BETWEEN 0 AND 255)
);

CREATE TABLE passwords (
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('login', 'confirmation')),
    phc TEXT COLLATE "C" NOT NULL CHECK (phc LIKE '$argon2id$%'),
    -- Somebody else set it and handed it over: the user changes it at the next login.
    initial BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (user_id, kind)
);

-- Wrong passwords in a row. Apart from `passwords`, because a user without one is guessed at as well.
CREATE TABLE wrong_passwords (
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('login', 'confirmation')),
    in_a_row BIGINT NOT NULL CHECK (in_a_row > 0),
    PRIMARY KEY (user_id, kind)
);

-- A challenge is out until the enrolment is refused, or has a certificate whose intent it is.
CREATE TABLE enrolments (
    id BYTEA NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    idempotency_key TEXT COLLATE "C" NOT NULL UNIQUE,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    device_kind TEXT COLLATE "C" NOT NULL,
    device_serial TEXT COLLATE "C" NOT NULL,
    binding TEXT COLLATE "C" NOT NULL CHECK (binding IN ('assigned-serial', 'acquisition-code', 'first-come', 'renewal')),
    challenge BYTEA NOT NULL CHECK (length(challenge) = 32),
    bearer_sha256 BYTEA NOT NULL CHECK (length(bearer_sha256) = 32),
    expires_at BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    refused_code TEXT COLLATE "C",
    refused_detail TEXT COLLATE "C",
    -- TPM2B_NAME's content: the attestation key that the challenge was made for.
    ak_name BYTEA CHECK (length(ak_name) BETWEEN 22 AND 66),
    -- The intent of the certificate that is to be renewed.
    renews BYTEA CHECK (octet_length(renews) = 16),
    CHECK ((renews IS NULL) = (binding <> 'renewal')),
    CHECK ((ak_name IS NULL) OR device_kind = 'tpm'),
    CHECK ((refused_code IS NULL) = (refused_detail IS NULL))
);

CREATE TRIGGER refusals_stand BEFORE UPDATE OF refused_code, refused_detail ON enrolments
    FOR EACH ROW WHEN (OLD.refused_code IS NOT NULL)
    EXECUTE FUNCTION refuse('a refused enrolment stays refused');

CREATE TABLE evidence (
    enrolment BYTEA NOT NULL PRIMARY KEY REFERENCES enrolments (id),
    format TEXT COLLATE "C" NOT NULL,
    csr BYTEA NOT NULL,
    challenge BYTEA NOT NULL CHECK (length(challenge) = 32),
    challenge_signature BYTEA NOT NULL,
    -- Of a renewal: by the key of the certificate that is renewed.
    predecessor_signature BYTEA,
    policy_name TEXT COLLATE "C" NOT NULL,
    policy_version BIGINT NOT NULL CHECK (policy_version BETWEEN 0 AND 4294967295),
    -- 0 for the anchors that the configuration's files name.
    trust_version BIGINT NOT NULL CHECK (trust_version BETWEEN 0 AND 4294967295),
    verdict TEXT COLLATE "C" NOT NULL,
    decoded TEXT COLLATE "C" NOT NULL,
    judged_at BIGINT NOT NULL
);

CREATE TABLE evidence_parts (
    enrolment BYTEA NOT NULL REFERENCES evidence (enrolment),
    position BIGINT NOT NULL CHECK (position >= 0),
    part BYTEA NOT NULL,
    PRIMARY KEY (enrolment, position)
);

CREATE TRIGGER evidence_stands BEFORE UPDATE ON evidence
    FOR EACH ROW EXECUTE FUNCTION refuse('evidence is never changed');
CREATE TRIGGER evidence_parts_stand BEFORE UPDATE ON evidence_parts
    FOR EACH ROW EXECUTE FUNCTION refuse('evidence is never changed');

-- From the intent on. Wide columns last, so that reading the state doesn't walk through them.
CREATE TABLE certificates (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    intent BYTEA NOT NULL UNIQUE REFERENCES enrolments (id),
    issuer TEXT COLLATE "C" NOT NULL,
    signer TEXT COLLATE "C" NOT NULL,
    serial BYTEA NOT NULL CHECK (length(serial) BETWEEN 1 AND 20),
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    device_kind TEXT COLLATE "C" NOT NULL,
    device_serial TEXT COLLATE "C" NOT NULL,
    assurance TEXT COLLATE "C" NOT NULL CHECK (assurance IN ('asserted', 'attested', 'attested-pin')),
    public_key_sha256 BYTEA NOT NULL CHECK (length(public_key_sha256) = 32),
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    -- The intent of the certificate that this one renews. Until it is confirmed that one is the user's.
    renews BYTEA REFERENCES certificates (intent),
    abandoned_at BIGINT,
    -- If `revocations` has it; kept by the trigger there, because a partial index sees only its own table.
    revoked BOOLEAN NOT NULL DEFAULT FALSE,
    issued_at BIGINT,
    journal_sequence BIGINT CHECK (journal_sequence > 0),
    journal_hash BYTEA CHECK (length(journal_hash) = 32),
    confirmed_at BIGINT,
    tbs BYTEA NOT NULL,
    der BYTEA,
    UNIQUE (issuer, serial),
    CHECK (not_before < not_after),
    CHECK ((der IS NULL) = (issued_at IS NULL)),
    CHECK ((der IS NULL) = (journal_sequence IS NULL)),
    CHECK ((der IS NULL) = (journal_hash IS NULL)),
    CHECK (abandoned_at IS NULL OR (der IS NULL AND NOT revoked)),
    CHECK (der IS NOT NULL OR confirmed_at IS NULL)
);

-- Rule 1: one certificate or open intent per user, and beside it one renewal that isn't confirmed; and none of another user
-- on the same token.
CREATE UNIQUE INDEX one_live_certificate_per_user
    ON certificates (user_id, (renews IS NOT NULL AND confirmed_at IS NULL))
    WHERE NOT revoked AND abandoned_at IS NULL;
CREATE UNIQUE INDEX one_live_certificate_per_token
    ON certificates (device_kind, device_serial, (renews IS NOT NULL AND confirmed_at IS NULL))
    WHERE NOT revoked AND abandoned_at IS NULL;
CREATE INDEX renewals_of_certificate ON certificates (renews) WHERE renews IS NOT NULL;
CREATE INDEX unconfirmed_renewals ON certificates (not_before)
    WHERE renews IS NOT NULL AND confirmed_at IS NULL AND NOT revoked AND abandoned_at IS NULL;
-- A key is certified once, ever; an abandoned intent certified nothing.
CREATE UNIQUE INDEX one_certificate_per_key ON certificates (public_key_sha256) WHERE abandoned_at IS NULL;
CREATE INDEX certificates_of_user ON certificates (user_id);
CREATE INDEX certificates_of_issuer ON certificates (issuer, id);
CREATE INDEX certificates_of_journal ON certificates (issuer, signer, journal_sequence)
    WHERE journal_sequence IS NOT NULL;
-- What expires soon is counted, and people are told of it.
CREATE INDEX certificates_by_expiry ON certificates (issuer, not_after) WHERE der IS NOT NULL AND NOT revoked;
CREATE INDEX open_intents ON certificates (issuer, signer, not_before)
    WHERE der IS NULL AND NOT revoked AND abandoned_at IS NULL;

CREATE TRIGGER certificates_are_kept BEFORE DELETE ON certificates
    FOR EACH ROW EXECUTE FUNCTION refuse('a certificate is never deleted');
CREATE TRIGGER intents_stand BEFORE UPDATE OF
    id, intent, issuer, signer, serial, user_id, device_kind, device_serial, assurance, public_key_sha256,
    not_before, not_after, renews, tbs ON certificates
    FOR EACH ROW EXECUTE FUNCTION refuse('an intent is never changed');
CREATE TRIGGER issued_certificates_stand BEFORE UPDATE OF issued_at, journal_sequence, journal_hash, der
    ON certificates FOR EACH ROW WHEN (OLD.der IS NOT NULL)
    EXECUTE FUNCTION refuse('an issued certificate is never changed');
CREATE TRIGGER abandoned_intents_stand BEFORE UPDATE OF abandoned_at ON certificates
    FOR EACH ROW WHEN (OLD.abandoned_at IS NOT NULL)
    EXECUTE FUNCTION refuse('an abandoned intent stays abandoned');
CREATE TRIGGER revoked_certificates_stand BEFORE UPDATE OF revoked ON certificates
    FOR EACH ROW WHEN (OLD.revoked AND NOT NEW.revoked)
    EXECUTE FUNCTION refuse('nothing un-revokes');

-- Certificates of the signer's journal without an intent here.
CREATE TABLE orphans (
    issuer TEXT COLLATE "C" NOT NULL,
    signer TEXT COLLATE "C" NOT NULL,
    journal_sequence BIGINT NOT NULL CHECK (journal_sequence > 0),
    journal_hash BYTEA NOT NULL CHECK (length(journal_hash) = 32),
    intent BYTEA NOT NULL CHECK (length(intent) = 16),
    serial BYTEA NOT NULL CHECK (length(serial) BETWEEN 1 AND 20),
    not_after BIGINT NOT NULL,
    found_at BIGINT NOT NULL,
    der BYTEA NOT NULL,
    PRIMARY KEY (issuer, serial)
);

CREATE INDEX orphans_of_issuer ON orphans (issuer, journal_sequence);
CREATE INDEX orphans_of_intent ON orphans (intent);

CREATE TRIGGER orphans_are_kept BEFORE DELETE ON orphans
    FOR EACH ROW EXECUTE FUNCTION refuse('an orphan is never deleted');

-- Certificates of OCSP responders that were renewed here, from the intent on. They belong to no user.
CREATE TABLE responders (
    intent BYTEA NOT NULL PRIMARY KEY CHECK (length(intent) = 16),
    issuer TEXT COLLATE "C" NOT NULL,
    signer TEXT COLLATE "C" NOT NULL,
    serial BYTEA NOT NULL CHECK (length(serial) BETWEEN 1 AND 20),
    public_key_sha256 BYTEA NOT NULL CHECK (length(public_key_sha256) = 32),
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    abandoned_at BIGINT,
    issued_at BIGINT,
    journal_sequence BIGINT CHECK (journal_sequence > 0),
    journal_hash BYTEA CHECK (length(journal_hash) = 32),
    tbs BYTEA NOT NULL,
    der BYTEA,
    UNIQUE (issuer, serial),
    CHECK (not_before < not_after),
    CHECK ((der IS NULL) = (issued_at IS NULL)),
    CHECK ((der IS NULL) = (journal_sequence IS NULL)),
    CHECK ((der IS NULL) = (journal_hash IS NULL)),
    CHECK (abandoned_at IS NULL OR der IS NULL)
);

CREATE INDEX responders_of_key ON responders (issuer, public_key_sha256, not_after);
CREATE INDEX responders_of_signer ON responders (issuer, signer);

CREATE TRIGGER responders_are_kept BEFORE DELETE ON responders
    FOR EACH ROW EXECUTE FUNCTION refuse('a certificate is never deleted');
CREATE TRIGGER responder_intents_stand BEFORE UPDATE OF
    intent, issuer, signer, serial, public_key_sha256, not_before, not_after, tbs ON responders
    FOR EACH ROW EXECUTE FUNCTION refuse('an intent is never changed');
CREATE TRIGGER issued_responders_stand BEFORE UPDATE OF issued_at, journal_sequence, journal_hash, der ON responders
    FOR EACH ROW WHEN (OLD.der IS NOT NULL) EXECUTE FUNCTION refuse('an issued certificate is never changed');
CREATE TRIGGER abandoned_responders_stand BEFORE UPDATE OF abandoned_at ON responders
    FOR EACH ROW WHEN (OLD.abandoned_at IS NOT NULL) EXECUTE FUNCTION refuse('an abandoned intent stays abandoned');

-- Of certificates and orphans alike, and of what only a signer's journal still knows. Narrow: this is what a CRL of a
-- million is read from.
CREATE TABLE revocations (
    -- Rises with the commits; each signer's journal is told in this order.
    number BIGINT NOT NULL CHECK (number > 0),
    issuer TEXT COLLATE "C" NOT NULL,
    serial BYTEA NOT NULL CHECK (length(serial) BETWEEN 1 AND 20),
    at BIGINT NOT NULL,
    reason BIGINT NOT NULL CHECK (reason IN (0, 1, 3, 4, 5, 9)),
    not_after BIGINT NOT NULL,
    PRIMARY KEY (issuer, serial)
);

CREATE UNIQUE INDEX revocations_in_order ON revocations (number);

CREATE FUNCTION reach_the_certificate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE certificates SET revoked = TRUE
    WHERE issuer = NEW.issuer AND serial = NEW.serial AND abandoned_at IS NULL;
    RETURN NULL;
END $$;

CREATE TRIGGER revocations_reach_the_certificate AFTER INSERT ON revocations
    FOR EACH ROW EXECUTE FUNCTION reach_the_certificate();
CREATE TRIGGER revocations_are_kept BEFORE DELETE ON revocations
    FOR EACH ROW EXECUTE FUNCTION refuse('nothing un-revokes');
-- Only the time may change, to an earlier one that a signer's journal holds.
CREATE TRIGGER revocations_stand BEFORE UPDATE ON revocations
    FOR EACH ROW WHEN (NEW.at >= OLD.at OR (NEW.number, NEW.issuer, NEW.serial, NEW.reason, NEW.not_after)
                                        <> (OLD.number, OLD.issuer, OLD.serial, OLD.reason, OLD.not_after))
    EXECUTE FUNCTION refuse('a revocation is never changed');

-- Mail: what somebody is to be told, written with its cause. A row is queued until a mail server took it (delivered), it
-- was refused for good (bounced), or what it says was no longer so (withdrawn).
CREATE TABLE outbox (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    -- See ca_core::domain::mail.
    kind TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    -- The certificate that it is about, if it is about one.
    issuer TEXT COLLATE "C",
    serial BYTEA,
    -- The address of that moment; missing once it was settled and its user was removed.
    recipient TEXT COLLATE "C",
    -- What confirms a new address; gone once it was settled.
    code TEXT COLLATE "C",
    queued_at BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'delivered', 'bounced', 'withdrawn')),
    -- Attempts that began. Whoever settles says which one it was, so that a late answer settles nothing.
    attempts BIGINT NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- When the next attempt is due; while one goes on, when it is taken for lost.
    next_attempt_at BIGINT NOT NULL,
    settled_at BIGINT,
    -- What the mail server said last, or why it couldn't be asked.
    answer TEXT COLLATE "C",
    -- Mails about the plans for a certificate are counted from 1: each says how it is by then, and overtakes those before it.
    announcement BIGINT NOT NULL DEFAULT 0 CHECK (announcement >= 0),
    -- The date that such a mail says; none when it says that there is none any more.
    revoke_at BIGINT,
    FOREIGN KEY (issuer, serial) REFERENCES certificates (issuer, serial),
    CHECK ((announcement > 0) = (kind IN ('to-be-revoked', 'not-to-be-revoked'))),
    CHECK ((revoke_at IS NOT NULL) = (kind = 'to-be-revoked')),
    CHECK ((issuer IS NULL) = (serial IS NULL)),
    CHECK ((state = 'queued') = (settled_at IS NULL)),
    CHECK (state <> 'queued' OR recipient IS NOT NULL),
    CHECK (state = 'queued' OR code IS NULL)
);

-- Rule 6: "each notice exactly once per certificate"; of a plan's date, each change once.
CREATE UNIQUE INDEX one_mail_of_a_kind_per_certificate ON outbox (issuer, serial, kind, announcement);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 'queued';
CREATE INDEX outbox_waiting ON outbox (queued_at) WHERE state = 'queued';
CREATE INDEX outbox_settled ON outbox (state, settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX outbox_of_user ON outbox (user_id);

CREATE TRIGGER mail_stands BEFORE UPDATE OF id, kind, user_id, issuer, serial, queued_at, announcement, revoke_at ON outbox
    FOR EACH ROW EXECUTE FUNCTION refuse('a mail is never changed');
CREATE TRIGGER queued_mail_is_kept BEFORE DELETE ON outbox
    FOR EACH ROW WHEN (OLD.state = 'queued') EXECUTE FUNCTION refuse('a queued mail is never deleted');

-- Who has an address is told, whichever way it came about.
CREATE FUNCTION tell_of_a_certificate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (kind, user_id, issuer, serial, recipient, queued_at, next_attempt_at)
    SELECT 'issued', id, NEW.issuer, NEW.serial, email, NEW.issued_at, NEW.issued_at
    FROM users WHERE id = NEW.user_id AND email IS NOT NULL;
    RETURN NULL;
END $$;
CREATE FUNCTION tell_of_a_renewal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (kind, user_id, issuer, serial, recipient, queued_at, next_attempt_at)
    SELECT 'renewed', id, NEW.issuer, NEW.serial, email, NEW.confirmed_at, NEW.confirmed_at
    FROM users WHERE id = NEW.user_id AND email IS NOT NULL;
    RETURN NULL;
END $$;
CREATE FUNCTION tell_of_a_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (kind, user_id, recipient, queued_at, next_attempt_at)
    VALUES ('locked', NEW.id, NEW.email, NEW.locked_at, NEW.locked_at);
    RETURN NULL;
END $$;
CREATE FUNCTION tell_of_a_revocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (kind, user_id, issuer, serial, recipient, queued_at, next_attempt_at)
    SELECT 'revoked', u.id, c.issuer, c.serial, u.email, NEW.at, NEW.at
    FROM certificates c JOIN users u ON u.id = c.user_id
    WHERE c.issuer = NEW.issuer AND c.serial = NEW.serial AND c.der IS NOT NULL AND NOT c.revoked
      AND (c.renews IS NULL OR c.confirmed_at IS NOT NULL) AND u.email IS NOT NULL
      AND (NEW.reason <> 4 OR NOT EXISTS (SELECT 1 FROM certificates n
                                          WHERE n.user_id = c.user_id AND n.id <> c.id
                                            AND n.der IS NOT NULL AND NOT n.revoked))
      AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.issuer = NEW.issuer AND r.serial = NEW.serial);
    RETURN NEW;
END $$;

CREATE TRIGGER an_issued_certificate_is_told AFTER UPDATE OF der ON certificates
    FOR EACH ROW WHEN (OLD.der IS NULL AND NEW.der IS NOT NULL AND NOT NEW.revoked AND NEW.renews IS NULL)
    EXECUTE FUNCTION tell_of_a_certificate();
-- Of a renewal once it is the user's certificate.
CREATE TRIGGER a_renewal_is_told AFTER UPDATE OF confirmed_at ON certificates
    FOR EACH ROW WHEN (OLD.confirmed_at IS NULL AND NEW.confirmed_at IS NOT NULL AND NEW.renews IS NOT NULL)
    EXECUTE FUNCTION tell_of_a_renewal();
CREATE TRIGGER a_lock_is_told AFTER UPDATE OF locked_at ON users
    FOR EACH ROW WHEN (OLD.locked_at IS NULL AND NEW.locked_at IS NOT NULL AND NEW.email IS NOT NULL)
    EXECUTE FUNCTION tell_of_a_lock();
-- A certificate that another takes the place of (reason 4) is told of as renewed. Of one that is known as revoked already (a
-- moved ledger) there is nothing to tell.
CREATE TRIGGER a_revocation_is_told BEFORE INSERT ON revocations
    FOR EACH ROW EXECUTE FUNCTION tell_of_a_revocation();

-- A new address until the code that was mailed to it is typed in.
CREATE TABLE email_changes (
    user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES users (id),
    email TEXT COLLATE "C" NOT NULL,
    sha256 BYTEA NOT NULL CHECK (length(sha256) = 32),
    expires_at BIGINT NOT NULL,
    attempts_left BIGINT NOT NULL CHECK (attempts_left BETWEEN 0 AND 255)
);

-- Trust: which makers' certificates are believed. A version is a document that two officers signed; what is read from
-- here is believed only with both signatures, so these tables can add nothing by themselves.
CREATE TABLE trust_versions (
    version BIGINT NOT NULL PRIMARY KEY CHECK (version BETWEEN 1 AND 4294967295),
    staged_by TEXT COLLATE "C" NOT NULL,
    staged_at BIGINT NOT NULL,
    approved_by TEXT COLLATE "C" NOT NULL,
    approved_at BIGINT NOT NULL,
    first_signature BYTEA NOT NULL,
    second_signature BYTEA NOT NULL,
    bundle BYTEA NOT NULL
);

CREATE TRIGGER trust_versions_are_kept BEFORE DELETE ON trust_versions
    FOR EACH ROW EXECUTE FUNCTION refuse('a trust version is never deleted');
CREATE TRIGGER trust_versions_stand BEFORE UPDATE ON trust_versions
    FOR EACH ROW EXECUTE FUNCTION refuse('a trust version is never changed');

-- The one that waits for its second signature.
CREATE TABLE trust_staged (
    version BIGINT NOT NULL PRIMARY KEY CHECK (version BETWEEN 1 AND 4294967295),
    staged_by TEXT COLLATE "C" NOT NULL,
    staged_at BIGINT NOT NULL,
    first_signature BYTEA NOT NULL,
    bundle BYTEA NOT NULL
);

-- Plans that follow from judging the fleet's evidence again, with the certificates to be revoked at their date.
CREATE TABLE rejudgements (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id > 0),
    planned_by TEXT COLLATE "C" NOT NULL,
    planned_at BIGINT NOT NULL,
    basis TEXT COLLATE "C" NOT NULL,
    judged BIGINT NOT NULL CHECK (judged >= 0),
    revoke_at BIGINT NOT NULL,
    reason BIGINT NOT NULL CHECK (reason IN (0, 1, 3, 4, 5, 9))
);

CREATE TABLE rejudged_certificates (
    rejudgement BIGINT NOT NULL REFERENCES rejudgements (id),
    issuer TEXT COLLATE "C" NOT NULL,
    serial BYTEA NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    code TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (rejudgement, issuer, serial),
    FOREIGN KEY (issuer, serial) REFERENCES certificates (issuer, serial)
);

-- Notices ask what is planned for a certificate.
CREATE INDEX rejudged_certificates_by_serial ON rejudged_certificates (issuer, serial);

CREATE TABLE rejudgement_ends (
    rejudgement BIGINT NOT NULL PRIMARY KEY REFERENCES rejudgements (id),
    ended TEXT COLLATE "C" NOT NULL CHECK (ended IN ('done', 'cancelled')),
    at BIGINT NOT NULL
);

CREATE TRIGGER rejudgements_are_kept BEFORE DELETE ON rejudgements
    FOR EACH ROW EXECUTE FUNCTION refuse('a plan is never deleted');
CREATE TRIGGER rejudgements_stand BEFORE UPDATE ON rejudgements
    FOR EACH ROW EXECUTE FUNCTION refuse('a plan is never changed');
CREATE TRIGGER rejudged_certificates_are_kept BEFORE DELETE ON rejudged_certificates
    FOR EACH ROW EXECUTE FUNCTION refuse('a plan is never deleted');
CREATE TRIGGER rejudged_certificates_stand BEFORE UPDATE ON rejudged_certificates
    FOR EACH ROW EXECUTE FUNCTION refuse('a plan is never changed');
CREATE TRIGGER rejudgement_ends_are_kept BEFORE DELETE ON rejudgement_ends
    FOR EACH ROW EXECUTE FUNCTION refuse('the end of a plan is never deleted');
CREATE TRIGGER rejudgement_ends_stand BEFORE UPDATE ON rejudgement_ends
    FOR EACH ROW EXECUTE FUNCTION refuse('the end of a plan is never changed');

-- A row per issuer: counters that only rise.
CREATE TABLE issuers (
    issuer TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    last_crl_number BIGINT NOT NULL DEFAULT 0,
    -- CRLs up to this number may say a later time than a revocation has by now, or there was a later one, which is lost.
    crls_outdated_to BIGINT NOT NULL DEFAULT 0
);

CREATE TRIGGER crl_numbers_rise BEFORE UPDATE ON issuers
    FOR EACH ROW WHEN (NEW.last_crl_number < OLD.last_crl_number OR NEW.crls_outdated_to < OLD.crls_outdated_to)
    EXECUTE FUNCTION refuse('CRL numbers rise');

-- The signers of all nodes: how far each one's journal and this ledger agree.
CREATE TABLE signers (
    issuer TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    journal BYTEA NOT NULL CHECK (length(journal) = 16),
    reconciled_sequence BIGINT CHECK (reconciled_sequence > 0),
    reconciled_hash BYTEA CHECK (length(reconciled_hash) = 32),
    revocations_to BIGINT NOT NULL DEFAULT 0 CHECK (revocations_to >= 0),
    journaled_sequence BIGINT CHECK (journaled_sequence > 0),
    journaled_hash BYTEA CHECK (length(journaled_hash) = 32),
    anchors_accepted_to BIGINT NOT NULL DEFAULT 0 CHECK (anchors_accepted_to >= 0),
    introduced_at BIGINT NOT NULL,
    retired_at BIGINT,
    PRIMARY KEY (issuer, name),
    CHECK ((reconciled_sequence IS NULL) = (reconciled_hash IS NULL)),
    CHECK ((journaled_sequence IS NULL) = (journaled_hash IS NULL))
);

CREATE TRIGGER signers_are_kept BEFORE DELETE ON signers
    FOR EACH ROW EXECUTE FUNCTION refuse('a signer is never forgotten');
CREATE TRIGGER signers_keep_their_journal BEFORE UPDATE OF issuer, name, journal ON signers
    FOR EACH ROW EXECUTE FUNCTION refuse('a signer keeps its journal');
CREATE TRIGGER signers_go_forward BEFORE UPDATE ON signers
    FOR EACH ROW WHEN (NEW.reconciled_sequence < OLD.reconciled_sequence OR NEW.revocations_to < OLD.revocations_to
                       OR NEW.anchors_accepted_to < OLD.anchors_accepted_to OR NEW.journaled_sequence < OLD.journaled_sequence)
    EXECUTE FUNCTION refuse('reconciliation never goes back');

-- Which node does what only one may do at a time. Times are the database's.
CREATE TABLE leases (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL
);

-- The current CRL of each issuer; the signer's journal has them all.
CREATE TABLE crls (
    issuer TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL CHECK (number > 0),
    this_update BIGINT NOT NULL,
    next_update BIGINT NOT NULL,
    -- Entries are of certificates with this notAfter or a later one.
    listed_from BIGINT NOT NULL,
    entries BIGINT NOT NULL CHECK (entries >= 0),
    der BYTEA NOT NULL,
    CHECK (this_update < next_update AND listed_from <= this_update)
);

CREATE TRIGGER crls_rise BEFORE UPDATE ON crls
    FOR EACH ROW WHEN (NEW.number <= OLD.number) EXECUTE FUNCTION refuse('CRL numbers rise');

CREATE TABLE sessions (
    token_sha256 BYTEA NOT NULL PRIMARY KEY CHECK (length(token_sha256) = 32),
    csrf_sha256 BYTEA NOT NULL CHECK (length(csrf_sha256) = 32),
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    issuer TEXT COLLATE "C" NOT NULL,
    serial BYTEA NOT NULL,
    opened_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    FOREIGN KEY (issuer, serial) REFERENCES certificates (issuer, serial)
);

CREATE INDEX sessions_of_user ON sessions (user_id);

CREATE TABLE logins (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    at BIGINT NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    serial BYTEA NOT NULL
);

CREATE INDEX logins_of_user ON logins (user_id);
CREATE INDEX logins_by_time ON logins (at);

-- Policies: each version stands as it was set, and the last assignment of a contract counts. `number` rises over both
-- tables: nodes look for a new one.
CREATE TABLE policies (
    name TEXT COLLATE "C" NOT NULL CHECK (name <> 'bank'),
    version BIGINT NOT NULL CHECK (version BETWEEN 1 AND 4294967295),
    number BIGINT NOT NULL UNIQUE CHECK (number > 0),
    reason TEXT COLLATE "C" NOT NULL,
    set_by TEXT COLLATE "C" NOT NULL,
    set_at BIGINT NOT NULL,
    document TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE FUNCTION policies_have_no_gaps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> (SELECT coalesce(max(version), 0) + 1 FROM policies WHERE name = NEW.name) THEN
        RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'a policy has every version once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER policies_have_no_gaps BEFORE INSERT ON policies
    FOR EACH ROW EXECUTE FUNCTION policies_have_no_gaps();
CREATE TRIGGER policies_are_kept BEFORE DELETE ON policies
    FOR EACH ROW EXECUTE FUNCTION refuse('a policy is never deleted');
CREATE TRIGGER policies_stand BEFORE UPDATE ON policies
    FOR EACH ROW EXECUTE FUNCTION refuse('a policy is never changed');

-- Without policy: the bank's own again.
CREATE TABLE policy_assignments (
    number BIGINT NOT NULL PRIMARY KEY CHECK (number > 0),
    contract TEXT COLLATE "C" NOT NULL REFERENCES contracts (number),
    policy TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL,
    assigned_by TEXT COLLATE "C" NOT NULL,
    assigned_at BIGINT NOT NULL
);

CREATE INDEX policy_assignments_of_contract ON policy_assignments (contract, number);

CREATE TRIGGER policy_assignments_are_kept BEFORE DELETE ON policy_assignments
    FOR EACH ROW EXECUTE FUNCTION refuse('an assignment is never deleted');
CREATE TRIGGER policy_assignments_stand BEFORE UPDATE ON policy_assignments
    FOR EACH ROW EXECUTE FUNCTION refuse('an assignment is never changed');

-- The token inventory. Which user a token is assigned to stands with the user.
CREATE TABLE tokens (
    kind TEXT COLLATE "C" NOT NULL,
    serial TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL
        CHECK (state IN ('in-stock', 'handed-out', 'lost', 'broken', 'replaced', 'returned', 'retired')),
    contract TEXT COLLATE "C" REFERENCES contracts (number),
    registered_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (kind, serial),
    CHECK ((state = 'handed-out') = (contract IS NOT NULL))
);

CREATE INDEX tokens_in_state ON tokens (state, kind, serial);
CREATE INDEX tokens_of_contract ON tokens (contract, kind, serial) WHERE contract IS NOT NULL;

CREATE TRIGGER tokens_are_kept BEFORE DELETE ON tokens
    FOR EACH ROW EXECUTE FUNCTION refuse('a token is never forgotten');
CREATE TRIGGER tokens_keep_their_identity BEFORE UPDATE OF kind, serial, registered_at ON tokens
    FOR EACH ROW EXECUTE FUNCTION refuse('a token keeps kind and serial number');
CREATE TRIGGER retired_tokens_stay_retired BEFORE UPDATE OF state ON tokens
    FOR EACH ROW WHEN (OLD.state = 'retired' AND NEW.state <> 'retired')
    EXECUTE FUNCTION refuse('a retired token stays retired');

-- PUKs in the bank's custody, encrypted under a key that isn't here. Of a token there are two at the most: the one that it
-- has, and the one that it is about to get; what the token has no more is deleted.
CREATE TABLE puks (
    deposit BYTEA NOT NULL PRIMARY KEY CHECK (length(deposit) = 16),
    device_kind TEXT COLLATE "C" NOT NULL,
    device_serial TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    key_version BIGINT NOT NULL CHECK (key_version BETWEEN 1 AND 4294967295),
    nonce BYTEA NOT NULL CHECK (length(nonce) = 12),
    sealed BYTEA NOT NULL CHECK (length(sealed) BETWEEN 17 AND 64),
    deposited_at BIGINT NOT NULL,
    confirmed_at BIGINT
);

CREATE INDEX puks_of_token ON puks (device_kind, device_serial, deposited_at);
CREATE INDEX puks_of_user ON puks (user_id);
CREATE INDEX puks_by_key ON puks (key_version, deposit);

CREATE FUNCTION two_puks_per_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM puks WHERE device_kind = NEW.device_kind AND device_serial = NEW.device_serial) > 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'of a token two PUKs are kept at the most';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER two_puks_per_token BEFORE INSERT ON puks FOR EACH ROW EXECUTE FUNCTION two_puks_per_token();
CREATE TRIGGER puks_stay_where_they_are BEFORE UPDATE OF deposit, device_kind, device_serial, user_id, deposited_at ON puks
    FOR EACH ROW EXECUTE FUNCTION refuse('a PUK stays that of its token');

-- Requests to unblock a PIN.
CREATE TABLE unblockings (
    id BYTEA NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- The order in which they came.
    number BIGINT NOT NULL UNIQUE CHECK (number > 0),
    idempotency_key TEXT COLLATE "C" NOT NULL UNIQUE,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    device_kind TEXT COLLATE "C" NOT NULL,
    device_serial TEXT COLLATE "C" NOT NULL,
    bearer_sha256 BYTEA NOT NULL CHECK (length(bearer_sha256) = 32),
    asked_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    stage TEXT COLLATE "C" NOT NULL CHECK (stage IN ('waiting', 'approved', 'released', 'done', 'declined', 'withdrawn')),
    decided_by TEXT COLLATE "C",
    decided_at BIGINT,
    CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
    CHECK (stage NOT IN ('approved', 'released', 'done', 'declined') OR decided_by IS NOT NULL)
);

CREATE INDEX unblockings_of_user ON unblockings (user_id, number);
CREATE INDEX unblockings_that_wait ON unblockings (number) WHERE stage = 'waiting';

CREATE TRIGGER unblockings_are_kept BEFORE DELETE ON unblockings
    FOR EACH ROW EXECUTE FUNCTION refuse('a request is never deleted');
CREATE TRIGGER unblockings_stand BEFORE UPDATE OF id, number, idempotency_key, user_id, device_kind, device_serial, asked_at
    ON unblockings FOR EACH ROW EXECUTE FUNCTION refuse('a request is never changed');
CREATE TRIGGER unblockings_go_forward BEFORE UPDATE OF stage ON unblockings
    FOR EACH ROW WHEN (NEW.stage <> OLD.stage AND (OLD.stage, NEW.stage) NOT IN (
        ('waiting', 'approved'), ('waiting', 'declined'), ('waiting', 'withdrawn'), ('approved', 'released'),
               ('approved', 'withdrawn'), ('released', 'done'), ('released', 'withdrawn')))
    EXECUTE FUNCTION refuse('a PUK is released once, after an approval');

-- Hash-chained; see ca_core::domain::audit.
CREATE TABLE audit (
    sequence BIGINT NOT NULL PRIMARY KEY CHECK (sequence > 0),
    at BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    details TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL CHECK (length(hash) = 32)
);

-- Once for all rows of a statement, not once a row: this table takes two for each certificate.
CREATE FUNCTION refuse_gaps() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    first BIGINT;
    last BIGINT;
    rows BIGINT;
BEGIN
    SELECT min(sequence), max(sequence), count(*) INTO first, last, rows FROM added;
    IF rows > 0 AND (last - first + 1 <> rows
        OR first - 1 <> (SELECT coalesce(max(sequence), 0) FROM audit WHERE sequence < first)) THEN
        RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'the audit trail has no gaps';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER audit_has_no_gaps AFTER INSERT ON audit REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_gaps();
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse('the audit trail is never shortened');
CREATE TRIGGER audit_stands BEFORE UPDATE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse('the audit trail is never changed');

-- Staff: who works at the console, and what takes two of them. What a row says of the past is in the audit trail.
CREATE TABLE staff (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    -- Names with blanks between them; see ca_core::domain::staff.
    roles TEXT COLLATE "C" NOT NULL CHECK (roles <> ''),
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'withdrawn')),
    key_sha256 BYTEA NOT NULL CHECK (length(key_sha256) = 32),
    admitted_at BIGINT NOT NULL,
    certificate BYTEA NOT NULL
);

CREATE UNIQUE INDEX one_active_member_per_key ON staff (key_sha256) WHERE state = 'active';

CREATE TRIGGER staff_are_kept BEFORE DELETE ON staff
    FOR EACH ROW EXECUTE FUNCTION refuse('a member of staff is never deleted');
CREATE TRIGGER staff_keep_their_id BEFORE UPDATE OF id ON staff
    FOR EACH ROW EXECUTE FUNCTION refuse('a member of staff keeps the ID');

CREATE TABLE staff_sessions (
    token_sha256 BYTEA NOT NULL PRIMARY KEY CHECK (length(token_sha256) = 32),
    csrf_sha256 BYTEA NOT NULL CHECK (length(csrf_sha256) = 32),
    member TEXT COLLATE "C" NOT NULL REFERENCES staff (id),
    key_sha256 BYTEA NOT NULL CHECK (length(key_sha256) = 32),
    opened_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);

CREATE INDEX staff_sessions_of_member ON staff_sessions (member);

-- Requests, and their ends: rows are only ever added, and of several decisions at once one finds room.
CREATE TABLE approvals (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    request BYTEA NOT NULL UNIQUE CHECK (length(request) = 16),
    kind TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    asked_by TEXT COLLATE "C" NOT NULL REFERENCES staff (id),
    asked_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    attachment BYTEA,
    CHECK (asked_at < expires_at)
);

CREATE INDEX approvals_by_expiry ON approvals (expires_at);

CREATE TABLE approval_ends (
    approval BYTEA NOT NULL PRIMARY KEY REFERENCES approvals (request),
    outcome TEXT COLLATE "C" NOT NULL CHECK (outcome IN ('executed', 'refused', 'withdrawn')),
    ended_by TEXT COLLATE "C" NOT NULL REFERENCES staff (id),
    ended_at BIGINT NOT NULL
);

CREATE TRIGGER approvals_are_kept BEFORE DELETE ON approvals
    FOR EACH ROW EXECUTE FUNCTION refuse('a request is never deleted');
CREATE TRIGGER approvals_stand BEFORE UPDATE ON approvals
    FOR EACH ROW EXECUTE FUNCTION refuse('a request is never changed');
CREATE TRIGGER approval_ends_are_kept BEFORE DELETE ON approval_ends
    FOR EACH ROW EXECUTE FUNCTION refuse('a decision is never deleted');
CREATE TRIGGER approval_ends_stand BEFORE UPDATE ON approval_ends
    FOR EACH ROW EXECUTE FUNCTION refuse('a decision is never changed');
CREATE FUNCTION keep_four_eyes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.outcome = 'withdrawn') <> (NEW.ended_by = (SELECT asked_by FROM approvals WHERE request = NEW.approval)) THEN
        RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'whoever asks can only withdraw';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER four_eyes BEFORE INSERT ON approval_ends FOR EACH ROW EXECUTE FUNCTION keep_four_eyes();

-- What the staff's searches read.
CREATE INDEX contracts_by_name ON contracts (name, number);
CREATE INDEX users_by_name ON users (display_name, id);
CREATE INDEX users_by_token ON users (device_serial) WHERE device_serial IS NOT NULL;
-- Without the four actions that each certificate in passing leaves; the query repeats the condition word by word.
CREATE INDEX audit_by_subject ON audit (subject, sequence) WHERE action NOT IN
    ('enrolment.opened', 'certificate.intended', 'certificate.issued', 'certificate.confirmed');

-- TRUNCATE passes row triggers by.
CREATE TRIGGER contracts_are_not_emptied BEFORE TRUNCATE ON contracts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('a contract is never deleted');
CREATE TRIGGER users_are_not_emptied BEFORE TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('a user is never deleted');
CREATE TRIGGER certificates_are_not_emptied BEFORE TRUNCATE ON certificates
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('a certificate is never deleted');
CREATE TRIGGER orphans_are_not_emptied BEFORE TRUNCATE ON orphans
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('an orphan is never deleted');
CREATE TRIGGER responders_are_not_emptied BEFORE TRUNCATE ON responders
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('a certificate is never deleted');
CREATE TRIGGER revocations_are_not_emptied BEFORE TRUNCATE ON revocations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('nothing un-revokes');
CREATE TRIGGER removals_are_not_emptied BEFORE TRUNCATE ON removals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('a removed user stays removed');
CREATE TRIGGER trust_versions_are_not_emptied BEFORE TRUNCATE ON trust_versions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('a trust version is never deleted');
CREATE TRIGGER rejudgements_are_not_emptied BEFORE TRUNCATE ON rejudgements
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('a plan is never deleted');
CREATE TRIGGER signers_are_not_emptied BEFORE TRUNCATE ON signers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('a signer is never forgotten');
CREATE TRIGGER staff_are_not_emptied BEFORE TRUNCATE ON staff
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('a member of staff is never deleted');
CREATE TRIGGER approvals_are_not_emptied BEFORE TRUNCATE ON approvals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('a request is never deleted');
CREATE TRIGGER approval_ends_are_not_emptied BEFORE TRUNCATE ON approval_ends
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('a decision is never deleted');
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse('the audit trail is never shortened');

-- Removed users whose name is still there and who are told nothing any more, and since when nothing needs it.
CREATE VIEW erasable_users (user_id, since) AS
SELECT user_id,
       greatest(removed_at, coalesce((SELECT max(c.not_after) FROM certificates c
                                  WHERE c.user_id = r.user_id AND NOT c.revoked AND c.abandoned_at IS NULL), 0))
FROM removals r
WHERE erased_at IS NULL AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.user_id = r.user_id AND o.state = 'queued');

-- Personal data with a period (ca_core::domain::retention): what it is, its key as text, and since when the period runs. What
-- isn't here is never erased. An enrolment that a certificate or an orphan names is kept with it; a mail of a planned revocation
-- as long as the plan stands, for it says what its user was told.
CREATE VIEW erasable (kind, record, since) AS
SELECT 'logins', id::text, at FROM logins
UNION ALL
SELECT 'mail', id::text, settled_at FROM outbox o
WHERE state IN ('delivered', 'bounced', 'withdrawn') AND settled_at IS NOT NULL
  AND NOT (announcement > 0 AND EXISTS (
      SELECT 1 FROM rejudged_certificates r WHERE r.issuer = o.issuer AND r.serial = o.serial
         AND NOT EXISTS (SELECT 1 FROM rejudgement_ends e WHERE e.rejudgement = r.rejudgement)))
UNION ALL
SELECT 'enrolments', encode(id, 'hex'), expires_at FROM enrolments n
WHERE NOT EXISTS (SELECT 1 FROM certificates c WHERE c.intent = n.id)
  AND NOT EXISTS (SELECT 1 FROM orphans o WHERE o.intent = n.id)
UNION ALL
SELECT 'evidence', encode(e.enrolment, 'hex'), c.not_after FROM evidence e JOIN certificates c ON c.intent = e.enrolment
UNION ALL
SELECT 'removed-users', user_id, since FROM erasable_users;
