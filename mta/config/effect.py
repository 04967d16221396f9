"""Parameters of Postfix that are understood and change nothing here: `hardmail check` says so where one is set.

tests/mta/config/test_effect.py compares the lists with what the services read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from mta.config.errors import ConfigWarning, Location
from mta.config.expand import ExpandError
from mta.config.maincf import MainConfig
from mta.config.mastercf import MasterService
from mta.config.parameters import PARAMETERS

NEEDLESS_PREFIXES: Final = ("multi_instance_", "postmulti_", "qmqpd_", "tlsproxy_")

_NEEDLESS = """
    alternate_config_directories command_directory daemon_directory html_directory import_environment
    mail_release_date mailq_path
    manpage_directory meta_directory newaliases_path openssl_path process_id_directory readme_directory sample_directory
    sendmail_path setgid_group shlib_directory

    bounce_service_name connection_cache_service_name defer_service_name dnsblog_service_name error_service_name
    flush_service_name pickup_service_name postlog_service_name queue_service_name rewrite_service_name
    showq_service_name smtpd_service_name tlsmgr_service_name trace_service_name

    anvil_status_update_time application_event_drain_time connection_cache_protocol_timeout
    connection_cache_status_update_time connection_cache_ttl_limit daemon_table_open_error_is_fatal daemon_timeout
    default_extra_recipient_limit default_recipient_limit dnsblog_reply_delay fast_flush_purge_time
    fast_flush_refresh_time fork_attempts fork_delay in_flow_delay ipc_idle ipc_timeout ipc_ttl max_use
    postlogd_watchdog_timeout postscreen_watchdog_timeout qmgr_daemon_timeout qmgr_fudge_factor
    qmgr_ipc_timeout service_throttle_time smtpd_history_flush_threshold trigger_timeout

    backwards_bounce_logfile_compatibility berkeley_db_create_buffer_size berkeley_db_read_buffer_size biff
    debugger_command dns_ncache_ttl_fix_enable dont_remove fault_injection_code hash_queue_depth hash_queue_names
    header_address_token_limit known_tcp_ports maillog_file_compressor maillog_file_prefixes maillog_file_rotate_suffix
    milter_protocol queue_file_attribute_count_limit sendmail_fix_line_endings sun_mailtool_compatibility

    smtp_tls_connection_reuse
    smtpd_tls_always_issue_session_ids
    smtpd_tls_dh512_param_file smtpd_tls_eecdh_grade smtpd_tls_session_cache_database tls_daemon_random_bytes
    tls_eecdh_strong_curve tls_eecdh_ultra_curve tls_fast_shutdown_enable tls_random_bytes tls_random_exchange_name
    tls_random_prng_update_period
    tls_random_reseed_period tls_random_source
"""
NEEDLESS: Final = frozenset(_NEEDLESS.split())
"""What they are for is not there (Postfix's files and processes), or is done without them: nobody has to be told."""

_WITHOUT_EFFECT = """
    authorized_flush_users authorized_mailq_users best_mx_transport debug_peer_level
    debug_peer_list default_verp_delimiters detect_8bit_encoding_header disable_mime_input_processing
    disable_mime_output_conversion disable_verp_bounces dnssec_probe
    enable_idna2003_compatibility
    error_notice_recipient header_from_format info_log_address_format
    internal_mail_filter_classes mime_boundary_length_limit mime_nesting_limit
    respectful_logging send_cyrus_sasl_authzid smtputf8_autodetect_classes syslog_facility tcp_windowsize
    verp_delimiter_filter

    lmtp_address_verify_target lmtp_cname_overrides_servername lmtp_dns_reply_filter
    lmtp_dns_resolver_options lmtp_min_data_rate lmtp_per_request_deadline lmtp_pix_workaround_delay_time
    lmtp_pix_workaround_maps lmtp_pix_workaround_threshold_time lmtp_pix_workarounds
    lmtp_sasl_path lmtp_sasl_type
    lmtp_sender_dependent_authentication lmtp_tls_block_early_mail_reply lmtp_tls_connection_reuse
    lmtp_tls_dcert_file lmtp_tls_dkey_file lmtp_tls_force_insecure_host_tlsa_lookup lmtp_tls_scert_verifydepth
    lmtp_xforward_timeout

    postscreen_allowlist_interfaces postscreen_bare_newline_action postscreen_bare_newline_enable
    postscreen_bare_newline_ttl postscreen_cache_cleanup_interval postscreen_cache_map
    postscreen_cache_retention_time postscreen_client_connection_count_limit postscreen_command_count_limit
    postscreen_command_filter postscreen_command_time_limit postscreen_disable_vrfy_command
    postscreen_discard_ehlo_keyword_address_maps postscreen_discard_ehlo_keywords postscreen_dnsbl_min_ttl
    postscreen_enforce_tls postscreen_expansion_filter postscreen_forbidden_commands postscreen_helo_required
    postscreen_non_smtp_command_action postscreen_non_smtp_command_enable postscreen_non_smtp_command_ttl
    postscreen_pipelining_action postscreen_pipelining_enable postscreen_pipelining_ttl postscreen_post_queue_limit
    postscreen_pre_queue_limit postscreen_reject_footer postscreen_reject_footer_maps postscreen_tls_security_level
    postscreen_upstream_proxy_protocol postscreen_upstream_proxy_timeout postscreen_use_tls

    smtp_address_verify_target smtp_cname_overrides_servername smtp_dns_reply_filter
    smtp_dns_resolver_options smtp_min_data_rate smtp_per_request_deadline smtp_pix_workaround_delay_time
    smtp_pix_workaround_maps smtp_pix_workaround_threshold_time smtp_pix_workarounds
    smtp_sasl_path smtp_sasl_type
    smtp_tls_block_early_mail_reply smtp_tls_dane_insecure_mx_policy smtp_tls_dcert_file smtp_tls_dkey_file
    smtp_tls_force_insecure_host_tlsa_lookup smtp_tls_scert_verifydepth smtp_xforward_timeout

    smtpd_authorized_verp_clients smtpd_dns_reply_filter smtpd_log_access_permit_actions smtpd_proxy_options

    tls_config_file tls_config_name tls_dane_digests tls_disable_workarounds
    tls_legacy_public_key_fingerprints
    tls_wildcard_matches_multiple_labels
"""
WITHOUT_EFFECT: Final = frozenset(_WITHOUT_EFFECT.split())
"""Somebody who sets one of these expects something that does not happen."""


def is_needless(name: str) -> bool:
    """Whether nobody misses the effect of a parameter that nothing reads."""
    return name in NEEDLESS or name.startswith(NEEDLESS_PREFIXES)


def unheeded(config: MainConfig, services: Sequence[MasterService] = ()) -> list[ConfigWarning]:
    """Settings of main.cf and master.cf that have no effect, unless they only repeat the default."""
    return [
        ConfigWarning(where, f"{name}: this parameter has no effect in hardmail")
        for name, value, where in _settings(config, services)
        if name in WITHOUT_EFFECT and not _is_default(config, name, value)
    ]


def _settings(config: MainConfig, services: Iterable[MasterService]) -> Iterator[tuple[str, str, Location]]:
    for name, setting in config.settings.items():
        yield name, setting.value, setting.where
    for service in services:
        for name, value in service.overrides.items():
            yield name, value, service.where


def _is_default(config: MainConfig, name: str, value: str) -> bool:
    default = PARAMETERS[name].default
    try:
        return config.expand(value).strip() == config.expand(default).strip()
    except ExpandError:
        return value == default
