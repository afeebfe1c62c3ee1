/**
 * What programs may be attached to kernel functions: facts of Linux 6.18 that its BTF does not tell (kernel/bpf/bpf_lsm.c,
 * kernel/bpf/verifier.c, kernel/trace/bpf_trace.c, net/bpf/test_run.c, and the ALLOW_ERROR_INJECTION marks).
 */

/** LSM hooks that BPF programs cannot take. */
const LSM_DISABLED =
  'vm_enough_memory inode_need_killpriv inode_getsecurity inode_listsecurity inode_copy_up_xattr getselfattr ' +
  'getprocattr setprocattr key_getsecurity audit_rule_match xfrm_decode_session ismaclabel'

/** LSM hooks whose programs may sleep. */
const LSM_SLEEPABLE =
  'bpf bpf_map bpf_map_create bpf_map_free bpf_prog bpf_prog_load bpf_token_create bpf_token_free bpf_token_cmd ' +
  'bpf_token_capable bprm_check_security bprm_committed_creds bprm_committing_creds bprm_creds_for_exec ' +
  'bprm_creds_from_file capget capset cred_prepare file_ioctl file_lock file_open file_post_open file_receive ' +
  'inode_create inode_free_security inode_getattr inode_getxattr inode_mknod inode_need_killpriv ' +
  'inode_post_setxattr inode_post_removexattr inode_readlink inode_removexattr inode_rename inode_rmdir ' +
  'inode_setattr inode_setxattr inode_symlink inode_unlink kernel_module_request kernel_read_file ' +
  'kernfs_init_security path_unlink path_mkdir path_rmdir path_truncate path_symlink path_link path_rename ' +
  'path_chmod path_chown mmap_file netlink_send path_notify release_secctx sb_alloc_security sb_eat_lsm_opts ' +
  'sb_kern_mount sb_mount sb_remount sb_set_mnt_opts sb_show_options sb_statfs sb_umount settime socket_accept ' +
  'socket_bind socket_connect socket_create socket_getpeername socket_getpeersec_dgram socket_getsockname ' +
  'socket_getsockopt socket_listen socket_post_create socket_recvmsg socket_sendmsg socket_shutdown ' +
  'socket_socketpair syslog task_alloc task_prctl task_setscheduler userns_create bdev_alloc_security ' +
  'bdev_setintegrity'

/** LSM hooks whose arguments may be on their way out of existence. */
const LSM_UNTRUSTED =
  'bpf_map_free bpf_prog_free file_alloc_security file_free_security sk_alloc_security sk_free_security task_free ' +
  'bdev_alloc_security bdev_free_security'

/** LSM hooks that return 0 or 1 instead of 0 or an error. */
const LSM_BOOLEAN = 'xfrm_state_pol_flow_match audit_rule_known inode_xattr_skipcap'

/** LSM hooks in whose cgroup programs sockets have options. */
const LSM_SOCKOPT = 'sock_graft inet_csk_clone inet_conn_established socket_post_create socket_socketpair'

/** Functions of the kernel whose names look like those of hooks. */
const LSM_NO_HOOK =
  'func_proto verify_prog is_sleepable_hook is_trusted find_cgroup_shim hook_returns_errno get_retval_range'

function names(list: string): ReadonlySet<string> {
  return new Set(list.split(' '))
}

/** What is known of LSM hooks, by their names without bpf_lsm_. */
export const LSM_HOOKS: Readonly<
  Record<'disabled' | 'sleepable' | 'untrusted' | 'boolean' | 'sockopt' | 'noHook', ReadonlySet<string>>
> = {
  disabled: names(LSM_DISABLED),
  sleepable: names(LSM_SLEEPABLE),
  untrusted: names(LSM_UNTRUSTED),
  boolean: names(LSM_BOOLEAN),
  sockopt: names(LSM_SOCKOPT),
  noHook: names(LSM_NO_HOOK),
}

/** Functions that a kernel with CONFIG_FUNCTION_ERROR_INJECTION lets programs fail, besides the system calls. */
const ERROR_INJECTION: ReadonlySet<string> = names(
  'btrfs_check_leaf btrfs_check_node btrfs_search_slot btrfs_should_cancel_balance open_ctree io_ctl_init ' +
    'should_fail_alloc_page should_failslab should_fail_bio page_pool_alloc_netmems btrfs_cow_block ' +
    '__filemap_add_folio',
)
/** Those of them that are called where nobody may sleep. */
const NOT_SLEEPABLE: ReadonlySet<string> = names('__filemap_add_folio should_fail_alloc_page should_failslab')

/** Whether the kernel's configuration permitting, a function may be made to fail. */
export function allowsErrorInjection(name: string): boolean {
  return ERROR_INJECTION.has(name) || /^__(x64|ia32|x32|ia32_compat|x64_compat|arm64)_sys_/.test(name)
}

/** Whether programs attached to a function that may be made to fail may sleep. */
export function errorInjectionSleeps(name: string): boolean {
  return allowsErrorInjection(name) && !NOT_SLEEPABLE.has(name)
}

/** Functions registered for fmod_ret in any configuration; true for those whose programs may sleep. */
export const MODIFIABLE: ReadonlyMap<string, boolean> = new Map([
  ['bpf_modify_return_test', false],
  ['bpf_modify_return_test2', false],
  ['bpf_modify_return_test_tp', false],
  ['bpf_fentry_test1', true],
  ['update_socket_protocol', false],
])

/** Functions that tracing programs must keep away from. */
export const NOT_TRACEABLE: ReadonlySet<string> = names(
  '___migrate_enable migrate_disable migrate_enable rcu_read_unlock_strict preempt_count_add preempt_count_sub ' +
    '__rcu_read_lock __rcu_read_unlock',
)

/** Functions that never return, so that nothing can run at their end. */
export const NEVER_RETURN: ReadonlySet<string> = names(
  '__ia32_sys_exit __ia32_sys_exit_group __kunit_abort kunit_try_catch_throw __module_put_and_kthread_exit ' +
    '__x64_sys_exit __x64_sys_exit_group do_exit do_group_exit kthread_complete_and_exit kthread_exit make_task_dead',
)

/** Functions whose tracing programs may call bpf_d_path. */
export const D_PATH_ALLOWED: ReadonlySet<string> = names(
  'security_file_permission security_inode_getattr security_file_open security_path_truncate vfs_truncate ' +
    'vfs_fallocate dentry_open vfs_getattr filp_close',
)
