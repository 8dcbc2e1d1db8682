//! Users as policy judges them, but for their certificates, which few have yet.

use ca_core::domain::ids::{EnrolmentId, UserId};
use store_rows::applicant::{ApplicantRow, ApplicationRow};

use crate::{failure::Failure, readers::Readers};

/// `$columns` beside those that are always read, of the tables `$from`, where `$which`. OFFSET 0 keeps the conditions apart.
/// Planned while a partial index was empty, and kept, the query would otherwise read that whole index for each peer: the
/// planner takes an empty index for free.
macro_rules! select_applicants {
    ($row:ty, $columns:tt, $from:tt, $which:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            $row,
            "SELECT " + $columns + r#",
                    u.contract, u.role, u.display_name, u.email, u.state, u.locked_at, u.registered_at,
                    k.name AS contract_name, k.general_users, k.registered_at AS contract_registered_at,
                    (SELECT count(*) FROM certificates c WHERE c.user_id = u.id) AS "certificates!: i64",
                    (SELECT count(*) FROM users peer
                     WHERE peer.contract = u.contract AND peer.role = u.role AND peer.id <> u.id
                       AND EXISTS (SELECT 1 FROM (SELECT revoked, abandoned_at FROM certificates
                                                  WHERE user_id = peer.id OFFSET 0) c
                                   WHERE NOT c.revoked AND c.abandoned_at IS NULL)) AS "beside!: i64"
             FROM "# + $from + " JOIN contracts k ON k.number = u.contract " + $which,
            $($argument),*
        )
    };
}

pub(crate) async fn find(pool: Readers<'_>, user: &UserId) -> Result<Option<ApplicantRow>, Failure> {
    let id = user.as_str();
    let row = select_applicants!(
        ApplicantRow,
        "u.id, u.device_kind, u.device_serial",
        "users u",
        "WHERE u.id = $1",
        id
    );
    Ok(row.fetch_optional(pool).await?)
}

/// An enrolment with its applicant.
pub(crate) async fn find_application(
    pool: Readers<'_>,
    enrolment: EnrolmentId,
) -> Result<Option<ApplicationRow>, Failure> {
    let id = enrolment.0.as_bytes().as_slice();
    let row = select_applicants!(
        ApplicationRow,
        r#"e.id, e.idempotency_key, e.user_id, e.device_kind, e.device_serial, e.binding, e.challenge,
                    e.bearer_sha256, e.expires_at, e.opened_at, e.refused_code, e.refused_detail, e.ak_name, e.renews,
                    (SELECT serial FROM certificates WHERE intent = e.id) AS "serial?",
                    u.device_kind AS assigned_kind, u.device_serial AS assigned_serial"#,
        "enrolments e JOIN users u ON u.id = e.user_id",
        "WHERE e.id = $1",
        id
    );
    Ok(row.fetch_optional(pool).await?)
}
