//! 営業日カレンダー: on which days and hours certificates are obtained (rule 3), with the bank's own days.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use ca_core::domain::{
    business_hours::{BankCalendar, IssuingHours},
    staff::Task,
    validity::japan_date,
};
use jiff::civil::{Date, Weekday};

use super::{
    Console, Trouble,
    page::{Cell, Section},
    visitor::Officer,
};
use crate::calendar::Source;

/// Weeks that are shown, from this one on.
const WEEKS: usize = 10;

pub(super) async fn show(State(console): State<Arc<Console>>, officer: Officer) -> Response {
    if let Err(denied) = console.guard.permit(officer.acting(), Task::ReadHealth, "calendar").await {
        return Trouble::from(denied).page(&officer, "/home");
    }
    let (t, now) = (officer.t(), console.clock.now());
    let hours = console.calendar.hours();
    let open = if hours.are_open(now) { Cell::Good(t.open_now.to_owned()) } else { Cell::text(t.closed_now) };
    let mut facts = vec![(t.obtaining, open)];
    if let Some(next) = hours.opens_next(now).filter(|next| *next != now) {
        facts.push((t.opens_next, Cell::Time(officer.time(next))));
    }
    let page = officer.page("/calendar", t.calendar);
    let page = match &*hours {
        IssuingHours::AlwaysOpenForDemonstration => {
            page.section(Section::Facts { title: String::new(), facts }).paragraphs(&[t.always_open])
        }
        IssuingHours::BankBusinessHours(calendar) => {
            let head =
                [t.week_of, t.monday, t.tuesday, t.wednesday, t.thursday, t.friday, t.saturday, t.sunday];
            let rows = weeks(t, calendar, japan_date(now));
            facts.extend(source(&officer, &console.calendar.source()));
            page.section(Section::Facts { title: String::new(), facts })
                .paragraphs(&[t.hours_text, t.calendar_text])
                .section(Section::table(t.business_days, &head, rows, ""))
        }
    };
    page.respond(StatusCode::OK)
}

/// Where the days come from, of when they are, and what is wrong with the file.
pub(super) fn source(officer: &Officer, source: &Source) -> Vec<(&'static str, Cell)> {
    let t = officer.t();
    let Some(file) = &source.file else { return vec![(t.calendar_source, Cell::text(t.calendar_by_law))] };
    let time = |at| Cell::Time(officer.time(at));
    let mut facts = vec![(t.calendar_source, Cell::code(file.display()))];
    facts.extend(source.written_at.map(|at| (t.calendar_written, time(at))));
    facts.push((t.calendar_taken_up, time(source.taken_up_at)));
    let trouble = source.trouble.as_ref();
    facts.extend(trouble.map(|trouble| (t.calendar_trouble, Cell::Bad(trouble.clone()))));
    facts
}

/// A line for each week, from its Monday.
fn weeks(t: &'static super::catalogue::Catalogue, calendar: &BankCalendar, today: Date) -> Vec<Vec<Cell>> {
    let back = i64::from(today.weekday().since(Weekday::Monday));
    let Ok(monday) = today.checked_sub(jiff::Span::new().days(back)) else { return Vec::new() };
    let days: Vec<Date> = monday.series(jiff::Span::new().days(1)).take(WEEKS * 7).collect();
    let week = |week: &[Date]| {
        let of = week.first().map(ToString::to_string).unwrap_or_default();
        let day = |day: &Date| {
            let number = day.day();
            if calendar.is_business_day(*day) {
                Cell::Good(format!("{number} {}", t.open_day))
            } else {
                Cell::text(format!("{number} {}", t.closed_day))
            }
        };
        std::iter::once(Cell::Time(of)).chain(week.iter().map(day)).collect()
    };
    days.chunks(7).map(week).collect()
}

#[cfg(test)]
mod tests {
    use askama::Template;
    use jiff::civil::date;

    use super::*;
    use crate::http::{portal::catalogue::Language, staff::catalogue::Catalogue};

    /// Rule 3: 23 November 2026, a Monday, is 勤労感謝の日.
    #[test]
    fn weeks_begin_on_monday_and_holidays_are_closed() {
        let t = Catalogue::of(Language::Japanese);
        let rows = weeks(t, &BankCalendar::default(), date(2026, 11, 22));
        assert_eq!(rows.len(), WEEKS);
        let week: Vec<String> = rows[1].iter().map(|cell| cell.render().expect("a cell")).collect();
        assert!(week[0].contains("2026-11-23"), "{week:?}");
        let open: Vec<bool> = week[1..].iter().map(|day| day.contains(t.open_day)).collect();
        assert_eq!(open, [false, true, true, true, true, false, false]);
    }
}
