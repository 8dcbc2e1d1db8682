BEGIN IMMEDIATE;

-- $1: intents as JSON, $2: octets for all of it, $3: how many intents, $4: their evidence, $5: certificates, $6: how many,
-- $7: rows of the audit trail.
WITH j AS MATERIALIZED (SELECT key, value FROM json_each($1))
INSERT INTO certificates (intent, issuer, signer, serial, user_id, device_kind, device_serial, assurance,
                          public_key_sha256, not_before, not_after, renews, tbs)
SELECT e.id, j.value ->> 'issuer', j.value ->> 'signer', unhex(j.value ->> 'serial'), u.id,
       j.value ->> 'device_kind', j.value ->> 'device_serial', j.value ->> 'assurance',
       unhex(j.value ->> 'key'), j.value ->> 'not_before', j.value ->> 'not_after',
       p.intent, substr($2, j.value ->> '$.tbs[0]', j.value ->> '$.tbs[1]')
FROM j
JOIN enrolments e ON e.id = unhex(j.value ->> 'intent')
JOIN users u ON u.id = e.user_id
LEFT JOIN certificates p ON p.intent = unhex(j.value ->> 'renews')
WHERE e.refused_code IS NULL AND u.id = j.value ->> 'user' AND u.contract = j.value ->> 'contract'
  AND u.state = 'active'
  AND NOT EXISTS (SELECT 1 FROM users other
                  WHERE other.device_kind = j.value ->> 'device_kind'
                    AND other.device_serial = j.value ->> 'device_serial' AND other.id <> u.id)
  AND (j.value ->> 'renews' IS NULL
       OR (p.user_id = u.id AND p.device_kind = j.value ->> 'device_kind'
           AND p.device_serial = j.value ->> 'device_serial' AND p.der IS NOT NULL AND p.revoked = 0
           AND (p.renews IS NULL OR p.confirmed_at IS NOT NULL)))
ORDER BY j.key
ON CONFLICT DO NOTHING;

-- NULL, which is refused, where the statement before didn't write every intent.
WITH j AS MATERIALIZED (SELECT key, value FROM json_each($4))
INSERT INTO evidence (enrolment, format, csr, challenge, challenge_signature, predecessor_signature, policy_name,
                      policy_version, trust_version, verdict, decoded, judged_at)
SELECT unhex(j.value ->> 'enrolment'), j.value ->> 'format',
       substr($2, j.value ->> '$.csr[0]', j.value ->> '$.csr[1]'),
       substr($2, j.value ->> '$.challenge[0]', j.value ->> '$.challenge[1]'),
       substr($2, j.value ->> '$.answer[0]', j.value ->> '$.answer[1]'),
       substr($2, j.value ->> '$.predecessor[0]', j.value ->> '$.predecessor[1]'), j.value ->> 'policy_name',
       j.value ->> 'policy_version', j.value ->> 'trust_version', j.value ->> 'verdict', j.value ->> 'decoded',
       CASE changes() WHEN $3 THEN j.value ->> 'judged_at' END
FROM j;

WITH j AS MATERIALIZED (SELECT key, value FROM json_each($4))
INSERT INTO evidence_parts (enrolment, position, part)
SELECT unhex(j.value ->> 'enrolment'), part.key, substr($2, part.value ->> 0, part.value ->> 1)
FROM j, json_each(j.value, '$.parts') part;

WITH j AS MATERIALIZED (SELECT key, value FROM json_each($5))
UPDATE certificates
SET der = substr($2, j.value ->> '$.der[0]', j.value ->> '$.der[1]'), issued_at = j.value ->> 'at',
    journal_sequence = j.value ->> 'sequence', journal_hash = unhex(j.value ->> 'hash')
FROM j
WHERE certificates.issuer = j.value ->> 'issuer' AND certificates.serial = unhex(j.value ->> 'serial')
  AND certificates.der IS NULL AND certificates.abandoned_at IS NULL AND certificates.revoked = 0;

-- The same for the certificates. The trail's trigger refuses rows that don't follow its last one.
WITH j AS MATERIALIZED (SELECT key, value FROM json_each($7))
INSERT INTO audit (sequence, at, actor, action, subject, details, hash)
SELECT j.value ->> 'sequence', j.value ->> 'at', j.value ->> 'actor', j.value ->> 'action', j.value ->> 'subject',
       j.value ->> 'details', CASE changes() WHEN $6 THEN unhex(j.value ->> 'hash') END
FROM j ORDER BY j.key;

COMMIT
