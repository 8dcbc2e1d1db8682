//! The e-mail address.

use super::super::sections::Email;

pub(super) const EMAIL: Email = Email {
    title: "Change your e-mail address",
    settings_text: "Where notices go, such as that your certificate expires. The old address is told of a change.",
    lead: "Notices go to this address, such as that your certificate expires.",
    present: "Present e-mail address",
    new: "New e-mail address",
    how: "We mail a code to the new address. When you type it in, the change is done, and the old address is told.",
    send: "Send the code",
    waiting: "A code was mailed to {}. Type in its 8 digits within 30 minutes.",
    code: "Code",
    confirm: "Change the address",
    drop_text: "If no mail arrives, or the address was wrong, cancel and begin again. Your address stays as it is.",
    drop: "Cancel the change",
    changed: "Your e-mail address was changed.",
    same: "That is your present address.",
    too_many: "No more codes can be sent today. Try again tomorrow.",
    code_wrong: "The code is wrong, or its time is over.",
    closed: "Ask your branch to change your e-mail address.",
};
