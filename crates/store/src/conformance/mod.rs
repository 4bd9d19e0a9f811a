//! The behaviour suite of the store: what every engine must do, as functions with sentences for names.
//!
//! An engine joins with a [`Fixture`] and one line, [`conformance_tests!`](crate::conformance_tests!), in its own tests. The suite
//! knows the traits only; what an engine does in its own way (plans, sealing, locks) is tested beside its code.

// Test code: a broken expectation must end the test, and the names of the behaviours are their documentation.
#![allow(clippy::unwrap_used, missing_docs)]

pub mod audit;
pub mod config;
pub mod desk;
pub mod given_up;
pub mod hourly;
pub mod key_sets;
pub mod log;
pub mod lti;
pub mod pages;
pub mod people;
pub mod queue;
pub mod upkeep;
pub mod webfilters;
mod world;

use crate::{Store, queue::Commit};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

/// A database of its own for one test.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens the store; empty the first time. When it was dropped, opening again is another run on the same data.
    async fn open(&self) -> (Arc<dyn Store>, UnboundedReceiver<Commit>);
}

/// All behaviours as tests; takes an expression that makes a fresh [`Fixture`], and perhaps a condition without which
/// there is nothing to test against.
#[macro_export]
macro_rules! conformance_tests {
    ($fixture:expr) => {
        $crate::conformance_tests! { $fixture, if true }
    };
    ($fixture:expr, if $there:expr) => {
        $crate::conformance_tests! { $fixture, $there =>
            config {
                an_application_reads_back_as_it_was_stored
                an_application_is_found_in_its_own_organization_only
                a_uid_belongs_to_one_object_of_its_scope
                a_uid_is_free_again_after_its_owner_is_deleted
                a_change_must_have_seen_the_current_revision
                what_is_deleted_is_neither_found_nor_changed
                nothing_below_a_deleted_application_is_found
                an_endpoint_reads_back_as_it_was_stored
                saving_an_endpoint_replaces_all_that_can_change
                an_endpoint_is_found_below_its_own_application_only
                a_text_that_is_no_id_finds_nothing
                an_event_type_reads_back_as_it_was_stored
                an_active_event_type_is_not_made_anew_but_an_archived_one_is
                a_list_of_event_types_shows_what_its_filter_lets_through
                hidden_event_types_do_not_count_as_a_further_page
                event_types_that_are_missing_or_archived_are_unknown
                the_directory_reads_a_schema_once_and_again_after_a_change
                what_an_organization_decides_is_kept
                what_is_configured_is_there_in_the_next_run
                a_page_begins_beyond_its_cursor_and_runs_in_the_order_asked_for
            }
            given_up {
                messages_given_up_are_counted_by_endpoint_and_in_the_next_run
                a_message_given_up_counts_for_a_day
                a_result_that_comes_too_late_is_not_counted
                the_count_of_an_endpoint_that_is_switched_off_begins_anew
                many_given_up_at_once_are_all_counted
            }
            key_sets {
                a_key_set_reads_back_by_both_names_of_its_application
                a_key_set_changes_only_for_whoever_saw_its_revision
                key_sets_are_found_by_their_age_and_not_of_deleted_applications
            }
            log {
                a_message_reads_back_as_it_came_in
                a_message_is_found_below_its_own_application_only
                an_id_that_differs_in_its_last_byte_only_is_another_id
                a_range_holds_its_beginning_but_not_its_end_to_the_last_byte
                a_page_of_a_range_holds_the_end_that_was_picked_newest_first
                messages_are_filtered_by_type_and_channel
                messages_and_what_became_of_them_are_found_by_tag
                items_that_do_not_fit_do_not_count_as_a_further_page
                an_expunged_payload_is_gone_and_the_message_stays
                an_attempt_reads_back_as_it_was_recorded
                attempts_are_found_below_their_own_application_and_message_only
                attempts_are_filtered_by_status_code_message_and_endpoint
                an_expunged_attempt_keeps_all_but_its_answer
                attempts_to_a_deleted_endpoint_stay_readable
                an_attempted_message_has_the_status_of_its_delivery
                attempted_messages_are_filtered_like_messages_and_by_endpoint
                a_message_that_was_only_tried_by_hand_is_attempted
                attempted_destinations_are_the_endpoints_with_an_attempt_by_id
                attempts_are_counted_in_their_window
                an_answer_is_kept_for_its_hash_and_its_time
                a_kept_answer_is_no_message_and_a_message_no_kept_answer
            }
            desk {
                a_list_of_deliveries_holds_those_that_were_never_tried
                a_list_of_deliveries_goes_on_where_its_looks_ended
                a_search_says_where_to_go_on
                a_message_has_its_deliveries_everywhere_tried_or_not
                what_a_task_would_take_up_is_counted_before
                a_task_cancels_what_waits_in_steps
                how_far_a_task_is_shows_in_its_window
                durations_are_those_of_the_latest_successes
                an_application_is_public_only_if_it_says_so
            }
            hourly {
                counts_are_those_of_the_attempts_themselves
                each_attempt_is_counted_once_whoever_counts_at_the_same_time
                what_is_recorded_behind_the_end_of_a_step_is_counted_by_a_later_one
                attempts_not_counted_yet_are_told_by_their_type
                what_is_rare_is_found_where_it_was_counted
                pages_of_an_event_type_hold_each_exactly_once_counted_or_not
                counts_go_when_nobody_keeps_the_rows_of_their_hour
            }
            lti {
                a_root_account_is_made_once_and_replaced_on_purpose
                a_developer_key_reads_back_and_is_changed_in_its_own_application_only
                a_tool_reads_back_and_is_changed_in_its_own_application_only
                a_registration_is_used_once_in_the_commit_that_makes_its_tool
                registrations_that_are_over_go_when_a_new_one_comes
                a_subject_is_found_by_its_name_until_its_application_is_deleted
                an_assertion_id_is_used_once_by_its_subject_also_in_the_next_run
            }
            upkeep {
                a_recovery_sends_each_failed_message_of_its_window_once
                a_replay_sends_each_message_that_the_endpoint_never_got
                a_task_is_found_by_its_organization_only
                a_task_that_is_over_takes_no_more_steps
                payloads_go_after_their_hour_and_messages_stay
                old_messages_go_with_all_that_belongs_to_them_unless_they_are_open
                open_old_messages_do_not_keep_others_from_going
                an_application_keeps_its_rows_as_long_as_it_or_its_organization_says
                ended_tasks_go_after_their_time_and_running_ones_stay
                kept_answers_go_after_their_time
            }
            queue {
                what_was_handed_in_is_written_before_a_later_release_is_answered
                a_repeated_hash_gets_the_first_message_and_sends_nothing_again
                a_hash_counts_for_its_time_only
                a_repeated_event_id_is_the_same_event_or_a_conflict
                each_message_of_a_batch_is_answered_on_its_own_and_in_order
                a_message_for_nobody_is_kept_and_leaves_nothing_open
                a_delivery_born_leased_comes_out_with_its_commit_and_is_nobody_elses
                a_delivery_born_waiting_is_reported_due_and_can_be_claimed
                messages_of_one_order_key_leave_one_after_the_other
                order_is_kept_per_endpoint
                first_tries_leave_before_retries_and_each_by_due_time
                a_claim_takes_what_is_due_up_to_its_limits_and_says_what_comes_next
                what_is_released_is_due_again_as_it_was
                a_delivery_whose_payload_is_gone_is_not_leased_and_not_open
                the_backlog_names_each_endpoint_with_the_first_that_is_due
                a_record_without_a_lease_changes_nothing_and_is_reported_lost
                a_lease_of_the_run_before_is_lost_and_the_delivery_claimed_again
                a_retry_is_due_when_the_record_says_and_counts_its_tries
                a_delivery_can_be_cancelled_without_a_try
                a_manual_try_leaves_settled_what_was_settled_if_it_fails
                a_planned_retry_comes_at_its_time_after_a_manual_try_that_failed
                a_manual_try_that_succeeds_ends_what_was_planned
                manual_tries_asked_for_while_one_waits_are_one
                a_manual_try_asked_for_on_the_wire_follows_whatever_comes_of_it
                a_manual_try_on_the_wire_survives_the_next_run
                a_held_delivery_is_held_again_after_a_manual_try_that_failed
                a_held_delivery_goes_on_when_its_forerunner_is_settled_while_it_is_tried_by_hand
                a_manual_try_needs_its_message_and_its_payload
                cancelling_takes_what_waits_or_is_held_and_leaves_the_rest
                cancelling_lets_a_younger_one_of_the_order_key_go
                cancelling_a_manual_try_leaves_settled_what_was_settled
                the_last_id_is_the_greatest_of_all_that_is_stored
                what_was_accepted_and_recorded_is_there_in_the_next_run
                many_at_once_are_all_kept
                a_batch_is_one_commit
            }
            people {
                a_user_reads_back_as_it_was_stored
                an_email_address_and_a_subject_belong_to_one_user
                each_change_of_a_user_leaves_the_rest_as_it_was
                users_are_listed_by_organization_and_by_application
                operators_that_can_sign_in_are_counted
                a_removed_user_leaves_no_role_and_no_session
                an_invitation_works_once_and_in_its_time
                roles_and_invitations_go_with_their_application
                a_link_to_a_new_password_works_once_in_its_time_and_ends_all_sessions
                a_withdrawn_invitation_is_gone
                a_session_is_there_in_the_next_run_with_what_is_to_be_said
                all_sessions_of_a_user_end_at_once
                what_has_ended_is_removed_in_steps
            }
            audit {
                entries_are_found_by_what_is_asked_for_newest_first
                old_entries_are_removed_in_steps
                an_alert_is_open_once_until_it_is_put_away
            }
            webfilters {
                a_webfilter_reads_back_as_it_was_stored
                a_webfilter_is_changed_by_who_saw_it_last_and_gone_when_it_is_deleted
                nothing_of_webfilters_is_found_below_a_deleted_application
                a_run_reads_back_as_it_was_logged
                the_log_is_paged_and_filtered_newest_first
                runs_go_after_their_time_and_beyond_what_an_application_may_have
            }
            pages {
                pages_by_cursor_hold_each_item_exactly_once
                pages_by_range_hold_each_item_exactly_once
            }
        }
    };
    ($fixture:expr, $there:expr => $($area:ident { $($behaviour:ident)* })*) => {$(
        mod $area {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    if $there {
                        $crate::conformance::$area::$behaviour(&$fixture).await;
                    }
                }
            )*
        }
    )*};
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_behaviour_is_in_the_list() {
        let list = include_str!("mod.rs");
        let areas = [
            include_str!("audit.rs"),
            include_str!("config.rs"),
            include_str!("desk.rs"),
            include_str!("hourly.rs"),
            include_str!("log.rs"),
            include_str!("lti.rs"),
            include_str!("pages.rs"),
            include_str!("people.rs"),
            include_str!("queue.rs"),
            include_str!("webfilters.rs"),
        ];
        for line in areas.iter().flat_map(|area| area.lines()) {
            let name = line.strip_prefix("pub async fn ").and_then(|rest| rest.split('(').next());
            if let Some(name) = name {
                assert!(list.lines().any(|l| l.trim() == name), "{name} is not in the list");
            }
        }
    }
}
