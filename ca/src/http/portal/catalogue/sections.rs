//! The catalogue's parts, one for each area of the pages.

texts! {
    /// The pages that anybody can read.
    Public {
        obtain_lead,
        obtain_before,
        obtain_steps,
        obtain_result,
        obtain_proxy,
        obtain_again,
        agent_title,
        agent_lead,
        agent_version,
        agent_lowest,
        agent_files,
        agent_file,
        agent_size,
        agent_bytes,
        agent_checksum,
        agent_verify,
        agent_on_windows,
        agent_on_linux,
        agent_elsewhere,
        agent_none,
        environments_title,
        environments_lead,
        environments_tokens,
        environments_browsers,
        environments_agent,
        environments_network,
        environments_accessibility,
    }
    lists {
        obtain_needs,
        environments_tokens_text,
        environments_browsers_text,
        environments_agent_text,
        environments_network_text,
        environments_accessibility_text,
    }
}

texts! {
    /// ヘルプ: what to do when something is wrong.
    Help {
        title,
        contents,
        mail_title,
        lost_title,
        pin_title,
        password_title,
        expired_title,
        replace_title,
        missing_title,
    }
    lists {
        mail_text,
        lost_text,
        pin_text,
        password_text,
        expired_text,
        replace_text,
        missing_text,
    }
}

texts! {
    /// What a user sees and does of their own: notices, certificate, history, settings.
    Own {
        notices,
        notice_open,
        notice_urgent,
        notice_last,
        notice_month_end,
        notice_none,
        days_until,
        welcome,
        last_login,
        first_login,
        show_certificate,
        show_history,
        certificate,
        certificate_title,
        certificate_lead,
        print_hint,
        fingerprint,
        holder,
        history_title,
        history_lead,
        history_kept,
        with_device,
        settings,
        settings_password_text,
        settings_confirmation_text,
        settings_stop_text,
        change_login_password,
        change_confirmation_password,
        password_current,
        password_new,
        password_again,
        password_rules,
        password_change,
        password_changed,
        password_wrong,
        password_mismatch,
        weak_length,
        weak_monotonous,
        weak_sequence,
        weak_user_id,
        weak_control,
        weak_same_other,
        weak_same_before,
        stop_title,
        stop_button,
        stopped_title,
    }
    lists {
        password_rules_text,
        stop_text,
        stopped_text,
    }
}

texts! {
    /// 証明書更新選択画面.
    Renewal {
        title,
        lead,
        now,
        later,
        later_text,
        steps_title,
        steps_lead,
        until,
        go_on,
    }
    lists {
        steps,
    }
}

texts! {
    /// 利用者管理.
    Users {
        list_lead,
        quota,
        quota_of,
        account_state,
        state_active,
        state_suspended,
        state_locked,
        token,
        no_token,
        actions,
        register,
        csv,
        registered_at,
        email,
        email_optional,
        no_email,
        user_title,
        register_lead,
        id_hint,
        name_hint,
        initial_password,
        initial_password_again,
        initial_password_hint,
        suspend,
        suspend_text,
        resume,
        resume_text,
        unlock,
        unlock_text,
        reset_password,
        reset_password_text,
        assign,
        assign_text,
        token_kind,
        token_serial,
        release,
        release_text,
        remove,
        remove_text,
        to_list,
        done_register,
        done_suspend,
        done_resume,
        done_unlock,
        done_password,
        done_assign,
        done_release,
        done_remove,
        confirmation_wrong,
        bad_id,
        bad_name,
        bad_email,
        bad_serial,
        taken,
        plan_exhausted,
        device_in_use,
        unknown,
        password_mismatch,
        result_lead,
    }
    lists {
    }
}
