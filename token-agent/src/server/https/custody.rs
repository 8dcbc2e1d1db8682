//! Tokens after the enrolment, over HTTPS.

use ca_wire::token::{Ask, Confirm, Deposit, Erasure, Released, Unblocking};
use reqwest::{Method, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use super::{HttpsApi, sensitive};
use crate::{
    secret::Pin,
    server::{
        ServerError, Version,
        answer::Answer,
        custody::{AskRequest, Authority, CustodyApi},
    },
};

const PUKS: &str = "/api/v1/tokens/puks";
const UNBLOCKINGS: &str = "/api/v1/tokens/unblockings";

impl HttpsApi {
    fn under_bearer(
        &self,
        method: Method,
        path: &str,
        bearer: &str,
        request: Option<&impl Serialize>,
    ) -> Result<Answer, ServerError> {
        let mut call = self.client.request(method, self.url(path));
        call = call.header("Authorization", sensitive(&format!("Bearer {bearer}"))?);
        if let Some(request) = request {
            let body = serde_json::to_vec(request).map_err(|_| ServerError::NotUnderstood(0))?;
            call = call.header(CONTENT_TYPE, "application/json").body(body);
        }
        self.send(call)
    }
}

fn nothing(answer: &Answer) -> Result<(), ServerError> {
    if answer.status == StatusCode::NO_CONTENT { Ok(()) } else { Err(answer.not_understood()) }
}

impl CustodyApi for HttpsApi {
    fn deposit(
        &self,
        authority: &Authority,
        deposit: Uuid,
        puk: &Pin,
        proven: Option<Uuid>,
    ) -> Result<(), ServerError> {
        let text = Zeroizing::new(puk.expose().to_vec());
        let puk = std::str::from_utf8(&text).map_err(|_| ServerError::NotUnderstood(0))?.to_owned();
        let mut request = Deposit { occasion: authority.occasion, puk, proven };
        let path = format!("{PUKS}/{deposit}");
        let answer = self.under_bearer(Method::PUT, &path, &authority.bearer, Some(&request));
        request.puk.zeroize();
        nothing(&answer?)
    }

    fn confirm_deposit(&self, authority: &Authority, deposit: Uuid) -> Result<(), ServerError> {
        let (path, request) =
            (format!("{PUKS}/{deposit}/confirmation"), Confirm { occasion: authority.occasion });
        nothing(&self.under_bearer(Method::POST, &path, &authority.bearer, Some(&request))?)
    }

    fn ask_unblocking(
        &self,
        idempotency_key: &str,
        request: &AskRequest<'_>,
    ) -> Result<Unblocking, ServerError> {
        let mut ask = Ask {
            user_id: request.user_id.to_owned(),
            password: request.password.expose().to_owned(),
            device: request.device.clone(),
            agent_version: Version::OWN.to_owned(),
        };
        let answer = self.post(UNBLOCKINGS, idempotency_key, None, &ask);
        ask.password.zeroize();
        answer?.json()
    }

    fn unblocking(&self, id: Uuid, bearer: &str) -> Result<Unblocking, ServerError> {
        self.under_bearer(Method::GET, &format!("{UNBLOCKINGS}/{id}"), bearer, None::<&()>)?.json()
    }

    fn release(&self, id: Uuid, bearer: &str) -> Result<Released, ServerError> {
        self.under_bearer(Method::POST, &format!("{UNBLOCKINGS}/{id}/release"), bearer, None::<&()>)?.json()
    }

    fn tell_erasure(&self, erasure: &Erasure) -> Result<(), ServerError> {
        let body = serde_json::to_vec(erasure).map_err(|_| ServerError::NotUnderstood(0))?;
        let call = self.client.post(self.url("/api/v1/tokens/erasures"));
        nothing(&self.send(call.header(CONTENT_TYPE, "application/json").body(body))?)
    }
}
