//! The fake bank's custody: of a token two PUKs at the most, each released once after somebody approved.

use jiff::{Timestamp, ToSpan};
use uuid::Uuid;

use super::{
    Approvers, Code, Erasure, FakeServer, KeptPuk, Occasion, Released, ServerError, UnblockState, Unblocking,
    refusal,
};
use crate::{
    secret::Pin,
    server::custody::{AskRequest, Authority, CustodyApi},
};

impl CustodyApi for FakeServer {
    fn deposit(
        &self,
        _: &Authority,
        deposit: Uuid,
        puk: &Pin,
        proven: Option<Uuid>,
    ) -> Result<(), ServerError> {
        self.serve(|| {
            let puk = String::from_utf8(puk.expose().to_vec()).expect("ASCII");
            let mut puks = self.puks.borrow_mut();
            if puks.contains(&(deposit, puk.clone())) {
                return Ok(());
            }
            assert!(proven.is_none() || puks.iter().any(|(kept, _)| Some(*kept) == proven));
            puks.retain(|(kept, _)| Some(*kept) == proven);
            puks.push((deposit, puk));
            Ok(())
        })
    }

    fn confirm_deposit(&self, authority: &Authority, deposit: Uuid) -> Result<(), ServerError> {
        self.serve(|| {
            let mut puks = self.puks.borrow_mut();
            assert!(
                puks.iter().any(|(kept, _)| *kept == deposit),
                "a deposit is confirmed after it was made"
            );
            puks.retain(|(kept, _)| *kept == deposit);
            if let Occasion::Unblocking(id) = authority.occasion {
                let mut requests = self.unblockings.borrow_mut();
                let request = requests.values_mut().find(|request| request.id == id).expect("a request");
                request.state = UnblockState::Done;
            }
            Ok(())
        })
    }

    fn ask_unblocking(
        &self,
        idempotency_key: &str,
        request: &AskRequest<'_>,
    ) -> Result<Unblocking, ServerError> {
        self.serve(|| {
            if request.password.expose() != "right" {
                return Err(refusal(Code::AuthenticationFailed));
            }
            if self.puks.borrow().is_empty() {
                return Err(refusal(Code::PukNotKept));
            }
            let fresh = || Unblocking {
                id: Uuid::new_v4(),
                number: "1234-5678".to_owned(),
                bearer: Some("bearer".to_owned()),
                state: UnblockState::Waiting,
                expires_at: Timestamp::now() + 1.hour(),
                approvers: Approvers::MasterOrBranch,
            };
            let mut requests = self.unblockings.borrow_mut();
            Ok(requests.entry(idempotency_key.to_owned()).or_insert_with(fresh).clone())
        })
    }

    fn unblocking(&self, id: Uuid, _: &str) -> Result<Unblocking, ServerError> {
        self.serve(|| {
            let mut requests = self.unblockings.borrow_mut();
            let request = requests.values_mut().find(|request| request.id == id).expect("a request");
            if request.state == UnblockState::Waiting {
                request.state = self.decision.get();
            }
            Ok(Unblocking { bearer: None, ..request.clone() })
        })
    }

    fn release(&self, id: Uuid, _: &str) -> Result<Released, ServerError> {
        self.serve(|| {
            let mut requests = self.unblockings.borrow_mut();
            let request = requests.values_mut().find(|request| request.id == id).expect("a request");
            if request.state != UnblockState::Approved {
                return Err(refusal(Code::UnblockingNotApproved));
            }
            request.state = UnblockState::Released;
            let kept = |(deposit, puk): &(Uuid, String)| KeptPuk { deposit: *deposit, puk: puk.clone() };
            Ok(Released { puks: self.puks.borrow().iter().rev().map(kept).collect() })
        })
    }

    fn tell_erasure(&self, erasure: &Erasure) -> Result<(), ServerError> {
        self.serve(|| {
            self.erasures.borrow_mut().push(erasure.clone());
            Ok(())
        })
    }
}
