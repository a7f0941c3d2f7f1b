use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// The steps of one tap, and what they have asked for.
struct Case {
    steps: Steps,
    now: Instant,
    said: Vec<Output>,
}

impl Case {
    fn begin() -> Self {
        let now = Instant::now();
        let mut said = Vec::new();
        Self { steps: Steps::new(now, &mut said), now, said }
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.steps.input(input, self.now, &mut out);
        self.said.extend(out.clone());
        out
    }

    fn done(&mut self, order: Order) -> Vec<Output> {
        self.input(Input::Outcome(order, Outcome::Done))
    }

    fn up() -> Self {
        let mut case = Self::begin();
        for way in Way::BOTH {
            case.done(Order::Make(Part::Snoop(way)));
            case.input(Input::Entered(Part::Snoop(way)));
            case.input(Input::Here(way));
            case.input(Input::Entered(Part::Media(way)));
            case.done(Order::Make(Part::Media(way)));
            case.done(Order::Make(Part::Bridge(way)));
            case.done(Order::Join(way));
        }
        assert_eq!(case.said.last(), Some(&Output::Ready));
        case
    }
}

fn ask(order: Order) -> Output {
    Output::Ask(order)
}

#[test]
fn both_sides_are_made_at_once_and_each_is_joined_when_it_is_whole() {
    let mut case = Case::begin();
    let [si, so] = Way::BOTH.map(|way| ask(Order::Make(Part::Snoop(way))));
    assert_eq!(case.said, [si, so]);
    let made = case.done(Order::Make(Part::Snoop(Way::In)));
    assert_eq!(
        made,
        [ask(Order::Make(Part::Media(Way::In))), ask(Order::Make(Part::Bridge(Way::In)))]
    );
    // The leg comes before ARI's answer, and in any order.
    assert_eq!(case.input(Input::Here(Way::In)), []);
    assert_eq!(case.input(Input::Entered(Part::Media(Way::In))), []);
    assert_eq!(case.done(Order::Make(Part::Media(Way::In))), []);
    assert_eq!(case.done(Order::Make(Part::Bridge(Way::In))), []);
    assert_eq!(case.input(Input::Entered(Part::Snoop(Way::In))), [ask(Order::Join(Way::In))]);
    assert_eq!(case.done(Order::Join(Way::In)), [], "one side is not enough");
    assert!(!case.steps.is_up());
}

#[test]
fn when_nobody_listens_any_more_all_six_are_deleted_and_that_is_all() {
    let mut case = Case::up();
    let out = case.input(Input::End(Why::Unwanted));
    assert_eq!(out[0], Output::Ended(Why::Unwanted));
    let deletes: Vec<_> = Part::ALL.map(|part| ask(Order::Delete(part))).into();
    assert_eq!(out[1..], deletes);
    for (n, part) in Part::ALL.into_iter().enumerate() {
        // Half of them went by themselves.
        let outcome = if n % 2 == 0 { Outcome::Done } else { Outcome::NotThere };
        let out = case.input(Input::Outcome(Order::Delete(part), outcome));
        assert_eq!(out, if n == 5 { vec![Output::Over(false)] } else { vec![] });
    }
    assert_eq!(case.input(Input::End(Why::Stopping)), []);
}

#[test]
fn a_channel_that_is_not_there_costs_nothing_more() {
    let mut case = Case::begin();
    let gone = Outcome::NotThere;
    let out = case.input(Input::Outcome(Order::Make(Part::Snoop(Way::In)), gone.clone()));
    assert_eq!(out, [Output::Failed(Failure::NoSuchChannel)]);
    let out = case.input(Input::Outcome(Order::Make(Part::Snoop(Way::Out)), gone));
    assert_eq!(out, [Output::Over(false)]);
}

#[test]
fn what_may_have_been_made_is_deleted_and_not_before_that_is_known() {
    let mut case = Case::begin();
    case.done(Order::Make(Part::Snoop(Way::In)));
    let out = case.input(Input::End(Why::Stopping));
    assert_eq!(out[0], Output::Failed(Failure::Ended(Why::Stopping)));
    assert_eq!(out[1..], [ask(Order::Delete(Part::Snoop(Way::In)))]);
    let media = Order::Make(Part::Media(Way::In));
    let out = case.input(Input::Outcome(media, Outcome::Unknown));
    assert_eq!(out, [ask(Order::Delete(Part::Media(Way::In)))]);
}

#[test]
fn what_takes_too_long_has_failed() {
    let mut case = Case::begin();
    case.now += OPEN_TIME;
    assert_eq!(case.input(Input::Tick), [Output::Failed(Failure::Time)]);
}

#[test]
fn a_deletion_is_tried_again_and_then_left_to_be_swept() {
    let mut case = Case::up();
    case.input(Input::End(Why::AsteriskGone));
    for part in &Part::ALL[1..] {
        case.done(Order::Delete(*part));
    }
    let delete = Order::Delete(Part::ALL[0]);
    for _ in 1..DELETE_TRIES {
        assert_eq!(case.input(Input::Outcome(delete, Outcome::Unknown)), []);
        assert_eq!(case.input(Input::Tick), [], "not at once");
        case.now += DELETE_PAUSE;
        assert_eq!(case.steps.deadline(), Some(case.now));
        assert_eq!(case.input(Input::Tick), [ask(delete)]);
    }
    assert_eq!(case.input(Input::Outcome(delete, Outcome::Unknown)), [Output::Over(true)]);
}

#[test]
fn the_end_of_a_snoop_is_the_channels_and_of_anything_else_a_breakdown() {
    for (input, why) in [
        (Input::Left(Part::Snoop(Way::Out)), Why::ChannelOver),
        (Input::Left(Part::Media(Way::In)), Why::Broken),
        (Input::Left(Part::Bridge(Way::In)), Why::Broken),
        (Input::Gone(Way::Out), Why::Broken),
    ] {
        assert_eq!(Case::up().input(input)[0], Output::Ended(why));
    }
}

/// An Asterisk that does what it is asked sooner or later, in any order, or refuses, or doesn't
/// answer, having done it or not; and a world that ends things at any moment.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// Answers one of the requests under way.
    Answer {
        which: usize,
        how: How,
    },
    /// A channel that is there enters the application; a leg comes.
    Enter(usize),
    /// What is there goes by itself.
    Dies(usize),
    End,
    Wait,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Done,
    Refused,
    LostDone,
    LostUndone,
}

fn turn() -> impl Strategy<Value = Turn> {
    let how = prop_oneof![
        20 => Just(How::Done),
        1 => Just(How::Refused),
        1 => Just(How::LostDone),
        1 => Just(How::LostUndone),
    ];
    prop_oneof![
        12 => (any::<usize>(), how).prop_map(|(which, how)| Turn::Answer { which, how }),
        8 => (0usize..4).prop_map(Turn::Enter),
        1 => (0usize..6).prop_map(Turn::Dies),
        1 => Just(Turn::End),
        1 => Just(Turn::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_happens_nothing_of_ours_is_left(turns in proptest::collection::vec(turn(), 0..120)) {
        let mut case = Case::begin();
        let mut there: BTreeSet<Part> = BTreeSet::new();
        let mut under_way: Vec<Order> = Vec::new();
        let mut read = 0;
        // However it goes, it ends: at last everything is asked to end, and answered.
        let rest = std::iter::once(Turn::End)
            .chain(std::iter::repeat_n(Turn::Answer { which: 0, how: How::Done }, 40))
            .chain([Turn::Wait, Turn::Wait, Turn::Wait])
            .chain(std::iter::repeat_n(Turn::Answer { which: 0, how: How::Done }, 40))
            .chain([Turn::Wait, Turn::Wait])
            .chain(std::iter::repeat_n(Turn::Answer { which: 0, how: How::Done }, 40));
        for turn in turns.into_iter().chain(rest) {
            for said in &case.said[read..] {
                if let Output::Ask(order) = said {
                    prop_assert!(!under_way.contains(order), "asked twice at once: {order:?}");
                    under_way.push(*order);
                }
            }
            read = case.said.len();
            match turn {
                Turn::Answer { .. } if under_way.is_empty() => {}
                Turn::Answer { which, how } => {
                    let order = under_way.remove(which % under_way.len());
                    let does = matches!(how, How::Done | How::LostDone);
                    let found = match order {
                        Order::Make(part) => {
                            prop_assert!(!there.contains(&part));
                            if does { there.insert(part); }
                            true
                        }
                        Order::Join(way) => {
                            let parts = [Part::Snoop(way), Part::Media(way), Part::Bridge(way)];
                            parts.iter().all(|part| there.contains(part))
                        }
                        Order::Delete(part) if does => there.remove(&part),
                        Order::Delete(part) => there.contains(&part),
                    };
                    let outcome = match how {
                        How::LostDone | How::LostUndone => Outcome::Unknown,
                        How::Refused => Outcome::Refused("no".to_owned()),
                        How::Done if found => Outcome::Done,
                        How::Done => Outcome::NotThere,
                    };
                    case.input(Input::Outcome(order, outcome));
                }
                Turn::Enter(n) => {
                    let part = Part::ALL[n];
                    if there.contains(&part) {
                        case.input(Input::Entered(part));
                    }
                    if let Part::Media(way) = part {
                        case.input(Input::Here(way));
                    }
                }
                Turn::Dies(n) => {
                    if there.remove(&Part::ALL[n]) {
                        case.input(Input::Left(Part::ALL[n]));
                    }
                }
                Turn::End => { case.input(Input::End(Why::Unwanted)); }
                Turn::Wait => {
                    case.now += OPEN_TIME.max(DELETE_PAUSE);
                    case.input(Input::Tick);
                }
            }
        }
        let said = |wanted: fn(&Output) -> bool| case.said.iter().filter(|o| wanted(o)).count();
        prop_assert_eq!(said(|o| matches!(o, Output::Ready | Output::Failed(_))), 1);
        prop_assert_eq!(
            said(|o| matches!(o, Output::Ended(_))), said(|o| matches!(o, Output::Ready))
        );
        prop_assert_eq!(said(|o| matches!(o, Output::Over(_))), 1);
        let last = case.said.last();
        prop_assert!(matches!(last, Some(Output::Over(_))), "{last:?}");
        // What is left is admitted, and only where a deletion was refused again and again.
        prop_assert!(there.is_empty() || last == Some(&Output::Over(true)), "{there:?}");
    }

    #[test]
    fn whatever_is_said_to_it_in_whatever_order_it_says_its_end_once(
        inputs in proptest::collection::vec((0u8..9, 0usize..6, 0u8..4), 0..200)
    ) {
        let mut case = Case::begin();
        for (kind, n, how) in inputs {
            let part = Part::ALL[n];
            let way = Way::BOTH[n % 2];
            let outcome = match how {
                0 => Outcome::Done,
                1 => Outcome::NotThere,
                2 => Outcome::Refused(String::new()),
                _ => Outcome::Unknown,
            };
            let input = match kind {
                0 | 1 => Input::Outcome(Order::Make(part), outcome),
                2 => Input::Outcome(Order::Join(way), outcome),
                3 => Input::Outcome(Order::Delete(part), outcome),
                4 => Input::Entered(part),
                5 => Input::Here(way),
                6 if how == 0 => Input::Gone(way),
                7 if how == 0 => Input::Left(part),
                8 if how == 0 => Input::End(Why::Unwanted),
                _ => { case.now += Duration::from_secs(1); Input::Tick }
            };
            case.input(input);
        }
        let said = |wanted: fn(&Output) -> bool| case.said.iter().filter(|o| wanted(o)).count();
        prop_assert!(said(|o| matches!(o, Output::Ready | Output::Failed(_))) <= 1);
        prop_assert!(said(|o| matches!(o, Output::Over(_))) <= 1);
        prop_assert!(said(|o| matches!(o, Output::Ask(Order::Join(_)))) <= 2);
        let makes = case.said.iter().filter(|o| matches!(o, Output::Ask(Order::Make(_))));
        prop_assert!(makes.count() <= 6);
    }
}
