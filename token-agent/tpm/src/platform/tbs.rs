//! Two commands that need no authorization, sent to the TPM itself through Windows' TPM Base Services.

#![expect(unsafe_code, reason = "the TPM Base Services are an interface of C; each length is its slice's")]

use std::ffi::c_void;

use windows_sys::Win32::System::TpmBaseServices::{
    TBS_COMMAND_LOCALITY_ZERO, TBS_COMMAND_PRIORITY_NORMAL, Tbsi_GetDeviceInfo, Tbsip_Submit_Command,
};

use super::claim::Answer;
use crate::{Lockout, TpmError};

/// `TPM_ST_NO_SESSIONS`, `TPM_CC_GetCapability`, `TPM_CC_ReadPublic`, `TPM_CAP_TPM_PROPERTIES` (Part 2, 6).
const NO_SESSIONS: u16 = 0x8001;
const GET_CAPABILITY: u32 = 0x0000_017a;
const READ_PUBLIC: u32 = 0x0000_0173;
const TPM_PROPERTIES: u32 = 6;
/// More than either answer.
const ROOM: usize = 4096;

/// `TPM_PT` (Part 2, 6.13).
#[derive(Clone, Copy)]
pub(super) enum Property {
    Manufacturer = 0x105,
    Firmware1 = 0x10b,
    Firmware2 = 0x10c,
    Permanent = 0x200,
    LockoutCounter = 0x20e,
    MaxAuthFail = 0x20f,
    LockoutInterval = 0x210,
}

/// An object's public area (`TPMT_PUBLIC`) and Name.
pub(super) struct Object {
    pub(super) public: Vec<u8>,
    pub(super) name: Vec<u8>,
}

/// Whether Windows knows of a TPM; the code it gives when not.
pub(super) fn present() -> Result<(), u32> {
    /// `TPM_DEVICE_INFO`: four numbers, the second of them 2 for TPM 2.0.
    const SIZE: u32 = 16;
    let mut information = [0_u32; 4];
    // SAFETY: the array has the size that is given.
    match unsafe { Tbsi_GetDeviceInfo(SIZE, information.as_mut_ptr().cast()) } {
        0 if information[1] == 2 => Ok(()),
        0 => Err(0),
        code => Err(code),
    }
}

/// The provider's way to the TPM; it ends with the provider.
pub(super) struct Services(*mut c_void);

impl Services {
    pub(super) fn new(context: *mut c_void) -> Self {
        Self(context)
    }

    /// `TPM2_ReadPublic` (Part 3, 12.4).
    pub(super) fn read_public(&self, handle: u32) -> Result<Object, TpmError> {
        let answer = self.submit("describe a key", READ_PUBLIC, &[handle])?;
        let mut answer = Answer::new(&answer);
        let mut read = || Some(Object { public: answer.sized()?.to_vec(), name: answer.sized()?.to_vec() });
        read().ok_or(TpmError::Malformed("a question for a public area"))
    }

    /// `TPM2_GetCapability` (Part 3, 30.2) of one property.
    pub(super) fn property(&self, property: Property) -> Result<u32, TpmError> {
        let arguments = [TPM_PROPERTIES, property as u32, 1];
        let answer = self.submit("tell a property", GET_CAPABILITY, &arguments)?;
        let mut answer = Answer::new(&answer);
        let mut read = || {
            let (_more, capability, count) = (answer.take(1)?, answer.u32()?, answer.u32()?);
            let (name, value) = (answer.u32()?, answer.u32()?);
            (capability == TPM_PROPERTIES && count == 1 && name == property as u32).then_some(value)
        };
        read().ok_or(TpmError::Malformed("a question for a property"))
    }

    pub(super) fn lockout(&self) -> Result<Lockout, TpmError> {
        Ok(Lockout {
            failed: self.property(Property::LockoutCounter)?,
            most: self.property(Property::MaxAuthFail)?,
            seconds: self.property(Property::LockoutInterval)?,
            locked: self.property(Property::Permanent)? & Lockout::FLAG != 0,
        })
    }

    /// A command without sessions, and the parameters of its response.
    fn submit(&self, action: &'static str, command: u32, arguments: &[u32]) -> Result<Vec<u8>, TpmError> {
        let failed = |code: u32| TpmError::Failed { action, source: format!("code {code:#010x}").into() };
        let body: Vec<u8> = arguments.iter().flat_map(|argument| argument.to_be_bytes()).collect();
        let size = u32::try_from(10 + body.len()).map_err(|_| failed(0))?;
        let sent =
            [&NO_SESSIONS.to_be_bytes()[..], &size.to_be_bytes(), &command.to_be_bytes(), &body].concat();
        let mut received = vec![0; ROOM];
        let mut room = 4096;
        // SAFETY: the provider that the context belongs to is open; both buffers have the lengths that are given.
        let code = unsafe {
            Tbsip_Submit_Command(
                self.0,
                TBS_COMMAND_LOCALITY_ZERO,
                TBS_COMMAND_PRIORITY_NORMAL,
                sent.as_ptr(),
                size,
                received.as_mut_ptr(),
                &raw mut room,
            )
        };
        if code != 0 {
            return Err(failed(code));
        }
        received.truncate(room as usize);
        let mut answer = Answer::new(&received);
        let mut head = || Some((answer.u16()?, answer.u32()?, answer.u32()?));
        match head() {
            Some((_, _, 0)) => Ok(received.split_off(10)),
            Some((_, _, code)) => Err(failed(code)),
            None => Err(TpmError::Malformed(action)),
        }
    }
}
