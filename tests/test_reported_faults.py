"""Faults that were found on real hosts or reported of other tools, and the tests that show each of them mended."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent

SILENT = {
    "names that differ in Unicode forms only are one fact": (
        "kis_plugin/tokenized/test_name_checks.py::test_facts_that_the_tokenizer_reads_alike_are_refused",
        "kis_plugin/knowledge/test_source_triples.py::test_a_fact_in_another_encoding_is_the_same_fact",
        "kis_plugin/knowledge/test_control_split.py::test_one_name_in_two_encodings_is_on_one_side",
        "kis_plugin/counting/test_counting.py::test_the_encoding_of_letters_does_not_matter",
        "kis_plugin/free_form/test_matching.py::test_the_encoding_of_letters_does_not_matter",
    ),
    "labels that are shifted beforehand": (
        "kis_hf/test_row_shapes.py::test_labels_that_are_shifted_beforehand_stay_shifted",
        "kis_hf/test_row_shapes.py::test_labels_of_neither_kind_are_refused_with_the_row",
    ),
    "auto_find_batch_size after the first step": (
        "kis_hf/test_users_runs.py::test_a_retry_counts_what_the_weights_have_seen",
    ),
    "a diverged run": (
        "kis_plugin/guard/test_guard.py::test_a_diverged_model_is_acted_on_at_once",
        "kis_plugin/plugins/test_one_run.py::test_a_run_that_diverged_ends_so_after_a_resume_too",
        "kis_hf/test_best_metric.py::test_diverged_model_is_never_the_best",
    ),
    "several evaluation sets": (
        "kis_plugin/guard/test_guard.py::test_several_losses_without_a_name_are_refused",
        "kis_plugin/guard/test_guard.py::test_the_named_split_alone_decides",
        "kis_predict/readers/test_evaluation_sets.py::test_the_named_evaluation_set_is_general_loss_in_every_format",
    ),
    "a kill between a checkpoint and its counts": (
        "kis_hf/test_users_runs.py::test_a_kill_between_the_checkpoint_and_its_counts_loses_none",
        "kis_hf/test_users_runs.py::test_a_resume_without_its_log_starts_a_readable_one",
        "kis_predict/readers/test_hostile_logs.py::test_it_is_named_and_left_out",
    ),
    "a resume under on_mismatch: warn": (
        "kis_plugin/plugins/test_one_run.py::test_a_mismatch_stays_in_the_log_over_later_resumes",
    ),
    "text of special tokens in facts": (
        "kis_plugin/tokenized/test_name_checks.py::test_text_of_control_tokens_is_refused_with_the_token",
        "kis_plugin/tokenized/test_name_checks.py::test_control_tokens_that_only_the_sentence_shows_are_refused",
    ),
    "padding with EOS": ("kis_hf/test_row_shapes.py::test_eos_is_a_target_where_it_is_the_padding_token_too",),
    "several true objects in free answers": (
        "kis_plugin/free_form/test_decoding.py::test_every_true_object_is_a_right_answer",
    ),
    "files of a folder that are not read": (
        "kis_plugin/knowledge/test_formats.py::test_folders_are_read_with_their_subfolders",
        "kis_plugin/knowledge/test_formats.py::test_files_not_read_are_listed_with_the_reason",
        "kis_plugin/cli/test_kis_cli.py::test_check_notes_names_relations_and_unread_files",
    ),
    "a stale cache": ("kis_plugin/knowledge/test_store.py::test_the_same_size_and_time_do_not_hide_other_content",),
    "loss on objects only": ("kis_hf/test_exact_counts.py::test_loss_is_taken_of_objects_alone_behind_any_collator",),
    "masked tokens and embeddings in place of ids": (
        "kis_hf/test_users_runs.py::test_what_the_model_does_not_get_stops_the_run_at_once",
        "kis_hf/test_users_runs.py::test_a_model_that_is_given_embeddings_stops_the_run_at_once",
        "kis_litgpt/test_model_input.py::test_a_model_that_changes_its_ids_stops_the_run_at_the_first_infused_rows",
        "kis_litgpt/test_model_input.py::test_targets_that_are_not_the_tokens_of_the_row_stop_the_run",
    ),
}
REFUSED = {
    "TRL in every mode of packing": ("kis_hf/test_trl.py::test_every_mode_of_packing_is_exact",),
    "rows of different lengths": (
        "kis_hf/test_row_shapes.py::test_rows_of_different_lengths_are_infused_exactly",
        "kis_hf/test_batch_shapes.py::test_a_stream_that_is_padded_to_its_longest_row_is_exact",
        "kis_hf/test_row_shapes.py::test_nothing_is_refused_where_nothing_is_infused",
        "kis_hf/test_two_ranks.py::test_two_ranks_of_rows_of_different_lengths_show_every_fact_f_times",
    ),
    "tuples, bare tensors, other names, text, loaders of one's own": (
        "kis_hf/test_batch_shapes.py::test_examples_of_any_form_are_infused_exactly",
        "kis_hf/test_batch_shapes.py::test_text_that_a_collator_tokenizes_is_infused_exactly",
        "kis_hf/test_batch_shapes.py::test_a_loader_of_ones_own_is_exact",
        "kis_hf/test_row_shapes.py::test_columns_with_a_value_for_each_token_are_kept",
    ),
    "run_clm.py, streamed or not": ("kis_hf/test_run_clm.py::test_run_clm_data_is_infused_exactly_over_a_resume",),
    "a handful of facts": (
        "kis_plugin/cli/test_kis_cli.py::test_a_handful_of_facts_is_checked_with_the_defaults",
        "kis_plugin/knowledge/test_control_split.py::test_a_handful_of_facts_holds_nothing_back_and_says_so",
    ),
    "a stream in its second pass": (
        "kis_hf/test_stream.py::test_a_resumed_run_shows_the_same_rows_as_an_unbroken_one",
    ),
    "adapters": ("kis_hf/test_probe_adapters.py::test_kis_probe_takes_an_adapter_folder",),
}
UNCLEAR = {
    "a model without logits": (
        "kis_hf/test_users_runs.py::test_a_model_without_logits_is_refused_before_a_log_begins",
    ),
    "two callbacks on one Trainer": ("kis_hf/test_users_runs.py::test_a_second_callback_is_refused_by_name",),
    "an encoder-decoder": ("kis_torch/test_model_view.py::test_an_encoder_decoder_is_refused_by_name",),
    "a tokenizer larger than the model": (
        "kis_hf/test_users_runs.py::test_a_tokenizer_with_more_tokens_than_the_model_is_refused",
    ),
    "share: 5%": ("kis_plugin/config/test_config.py::test_a_number_as_text_is_refused_with_how_to_write_it",),
    "the words of a refused resume": (
        "kis_hf/test_users_runs.py::test_a_resume_with_another_amount_is_refused_in_the_words_of_the_configuration",
    ),
    "a sweep that is interrupted, and what is left of it": (
        "kis_sweep/test_sweep_command.py::test_interrupted_sweep_ends_as_an_uninterrupted_one",
        "kis_sweep/test_progress.py::test_status_has_a_row_for_each_state_and_the_time_left",
    ),
    "a full disk": ("kis_plugin/run/test_log.py::test_full_disk_is_named_with_the_log_and_what_was_written_stays",),
    "a cache on a read-only disk": (
        "kis_plugin/knowledge/test_store.py::test_a_touched_file_is_found_in_a_read_only_cache",
        "kis_plugin/storage/test_artifact_cache.py::test_a_read_only_cache_is_used",
    ),
    "one bad folder of a sweep": (
        "kis_sweep/test_progress.py::test_one_bad_folder_spoils_only_its_row",
        "kis_sweep/test_run_all.py::test_damaged_log_is_named_set_aside_and_all_runs_finish",
    ),
}
KNOWLEDGE = {
    "exports of Wikidata": (
        "kis_plugin/knowledge/test_formats.py::test_wikidata_exports_use_labels_beside_addresses",
        "kis_plugin/knowledge/test_suspicious.py::test_suspicious_names_are_noted_with_the_first_fact",
    ),
    "columns of other names": ("kis_plugin/knowledge/test_formats.py::test_columns_of_any_table_are_mapped",),
    "a key given twice": ("kis_plugin/knowledge/test_formats.py::test_a_key_given_twice_is_an_error_with_its_line",),
    "relations that are nearly the same": (
        "kis_plugin/knowledge/test_suspicious.py::test_relations_that_are_nearly_the_same_are_noted",
    ),
    "Parquet, saved datasets, N-Triples, questions, conversations, PDF": (
        "kis_plugin/knowledge/test_formats.py::test_every_kind_of_file_gives_the_same_facts",
        "kis_plugin/knowledge/test_formats.py::test_n_triples_are_named_by_their_labels",
        "kis_plugin/knowledge/test_formats.py::test_questions_and_conversations_are_documents",
        "kis_plugin/knowledge/test_formats.py::test_pdf_files_are_documents",
    ),
}
SHOWN = {
    "names in TensorBoard": ("kis_hf/test_tensorboard.py::test_tensorboard_has_each_series_and_chance_under_one_name",),
    "retention as the metric of the best model": (
        "kis_hf/test_best_metric.py::test_best_model_is_loaded_at_the_end",
        "kis_hf/test_best_metric.py::test_early_stopping_stops_where_retention_no_longer_rises",
        "kis_hf/test_two_ranks.py::test_two_ranks_choose_the_same_best_checkpoint_and_stop_together",
    ),
    "kis show": ("kis_plugin/summary/test_show.py::test_one_run_is_shown_whole_within_80_columns",),
    "what will probably teach nothing": (
        "kis_plugin/cli/test_advice.py::test_a_share_that_leaves_little_text",
        "kis_plugin/cli/test_advice.py::test_few_templates_by_relation",
        "kis_plugin/summary/test_verdict.py::test_at_chance_names_the_likeliest_reason",
    ),
}
ALL = {**SILENT, **REFUSED, **UNCLEAR, **KNOWLEDGE, **SHOWN}


@cache
def functions(file):
    """Read, as some of these files are collected with an extra only."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    return {node.name for body in bodies for node in body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("fault", ALL)
def test_every_fault_has_tests_that_exist(fault):
    assert ALL[fault]
    for name in ALL[fault]:
        file, function = name.split("::")
        assert function in functions(file), name
