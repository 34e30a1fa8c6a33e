import { asList, asText, entriesOf, own } from '../loose-values.ts'
import {
  command,
  count,
  example,
  failed,
  type Instead,
  imageOf,
  type Keys,
  leave,
  minutes,
  names,
  plain,
  scalar,
  seconds,
  sub,
  texts,
  timeout,
  variables,
  type Words,
} from './instead.ts'

const loops: Instead = {
  write: (value) => ({
    foreach: asList(value).length > 0 && asList(value).every(scalar) ? value : ['a', 'b'],
  }),
  say: 'each item is ${ITEM}, or "$ITEM" in a command',
}
const machine: Instead = {
  say: 'name a host: write targets: [build] here, and inventory: {hosts: {build: {labels: {os: linux}}}} at the top level',
}
const afterFailure: Instead = {
  write: { finally: [failed] },
  at: 'at the top level',
  say: 'or rollback: in this step, to undo it',
}
const docker: Instead = {
  write: (value) => ({
    isolation: 'container',
    image: imageOf(own(value, 'image') ?? value),
  }),
}

/** Returns the keys of a matrix that are a variable with its values. */
function lists(matrix: unknown): Keys {
  const good = entriesOf(matrix).filter(
    ([name, values]) =>
      names(name, '').includes(name) && asList(values).some(scalar) && asList(values).every(scalar),
  )
  return good.length > 0 ? Object.fromEntries(good) : { NODE: [22, 24] }
}

/** Converts a condition: a bare name that is compared gets `${ }` around it. */
function condition(value: unknown): string {
  const text = asText(value) ?? ''
  const bare = /^([A-Za-z_]\w*) *([=!]=) *(\w+|"[^"$]*"|'[^'$]*')$/.exec(text)
  if (bare) return `\${${bare[1]}} ${bare[2]} ${bare[3]}`
  return /^\$\{\w+\}( *[=!]= *[\w"]+)?$/.test(text) ? text : '${STAGE} == "prod"'
}

const takesArgs = ['cmd', 'script', 'url', 'path', 'prompt', 'file']

/** Keys of a step. */
export const wordsOfStep: Words = [
  ['run command cmd script bash sh exec cmds commands raw win_shell powershell', { write: command }],
  [
    'shell',
    {
      write: (value) =>
        /^(\/bin\/)?(ba)?sh\b/.test(plain(value))
          ? {
              action: 'shell.run',
              args: { shell: plain(value).includes('bash') ? 'bash' : 'sh', script: 'echo hello' },
            }
          : command(value),
    },
  ],
  [
    'uses',
    {
      write: (value) => ({
        action: 'cmd.run',
        args: {
          cmd: plain(value).includes('checkout')
            ? 'git clone --depth 1 https://example.org/shop.git .'
            : 'npm test',
        },
      }),
      say: 'actions of other systems cannot be used; write what it does as a command',
    },
  ],
  [
    'with params parameters arguments input config options',
    {
      write: (value) => ({
        args: takesArgs.some((name) => own(value, name)) ? value : { cmd: 'echo hello' },
      }),
      say: 'see docs/workflows.md for the arguments of each action',
    },
  ],
  [
    'inputs',
    {
      write: (value) => ({ inputs: variables(value) }),
      at: 'under args',
      say: 'only workflow.run has inputs',
    },
  ],
  ['vars variables environment env_vars environ', { write: (value) => ({ env: variables(value) }) }],
  [
    'if condition only_if rules only preconditions precondition run_if',
    { write: (value) => ({ when: condition(value) }) },
  ],
  ['unless skip_if except', { write: { when: '${STAGE} != "prod"' } }],
  [
    'failed_when changed_when check_mode',
    leave('a step fails if its command exits with a code other than 0; use exit 1 in the command'),
  ],
  [
    'depends depends_on dependencies deps after requires wait_for need depend',
    { write: (value) => ({ needs: texts(value, 'other-step') }) },
  ],
  [
    'retries retry_count max_retries retry_attempts',
    { write: (value) => ({ retry: { max_attempts: count(value, 2) + 1 } }), say: 'the first try counts too' },
  ],
  [
    'attempts max_attempts tries max_tries',
    { write: (value) => ({ retry: { max_attempts: count(value) } }) },
  ],
  [
    'retry_policy retry_strategy retryable retry_on',
    {
      write: (value) => ({ retry: { max_attempts: count(own(value, 'limit'), 2) + 1 } }),
      say: 'the first try counts too',
    },
  ],
  [
    'until repeat_policy repeat',
    {
      write: { retry: { max_attempts: 10, backoff: { delay_seconds: 5, factor: 1 } } },
      say: 'and let the command fail until the condition is met',
    },
  ],
  [
    'delay retry_delay backoff retry_interval interval',
    { write: (value) => ({ retry: { max_attempts: 3, backoff: { delay_seconds: seconds(value, 5) } } }) },
  ],
  ['timeout timeout_sec timeout_secs time_limit max_time active_deadline_seconds deadline async', timeout],
  ['timeout_minutes timeout_in_minutes', minutes],
  [
    'loop with_items with_list with_sequence with_dict with_fileglob for items for_each each range with_param loop_control',
    loops,
  ],
  ['strategy', { write: (value) => ({ matrix: lists(own(value, 'matrix')) }) }],
  [
    'parallel',
    {
      write: (value) => (typeof value === 'number' ? { max_parallel: count(value) } : undefined),
      say: 'steps run in parallel if they name the steps that come before them: needs: [other-step]',
    },
  ],
  [
    'throttle max_workers forks parallelism concurrency max_concurrent',
    { write: (value) => ({ max_parallel: count(value) }) },
  ],
  [
    'hosts host target node nodes delegate_to',
    { write: (value) => ({ targets: texts(value, 'web') }), say: 'each one is a host in inventory.hosts' },
  ],
  ['runs_on tags agent pool node_selector runner group', machine],
  ['container docker', docker],
  ['sandbox sandboxed', { write: { isolation: 'sandbox' } }],
  ['network_mode networking', { write: { network: 'none' } }],
  [
    'ignore_errors allow_failure ignore_failure ignore_error continue_on continue soft_fail allow_failures optional',
    { write: { continue_on_error: true } },
  ],
  [
    'fail_fast any_errors_fatal',
    {
      write: (value) => (value === false ? { continue_on_error: true } : undefined),
      say: 'a step that fails ends the run, unless it has continue_on_error: true',
    },
  ],
  [
    'cwd dir workdir working_dir working_directory chdir work_dir',
    { write: (value) => ({ cwd: texts(value, '/srv/app')[0] }), at: 'under args' },
  ],
  [
    'must_vars required_vars must_export exports',
    { write: (value) => ({ expect_vars: names(value, 'TOKEN') }) },
  ],
  ['export_vars max_output_bytes output_path', { say: 'write it under args' }],
  [
    'register output result stdout_to save_as set_output export',
    {
      write: (value) => ({
        outputs: { [names(value, 'RESULT')[0]!]: 'stdout' },
      }),
    },
  ],
  [
    'stdout stderr log',
    { write: (value) => ({ output_path: texts(value, '/tmp/output')[0] }), at: 'under args' },
  ],
  [
    'id title label step display_name task',
    { write: (value) => ({ name: texts(value, 'build')[0] }), say: 'a step has no other name' },
  ],
  ['secret', { write: (value) => ({ secrets: names(value, 'TOKEN') }) }],
  ['notify handlers listen', leave('write a separate step after it, with when: if it should not always run')],
  [
    'become become_user sudo user run_as',
    {
      write: { action: 'cmd.run', args: { cmd: 'sudo systemctl restart shop' } },
      say: 'sudo is part of the command',
    },
  ],
  ['rescue on_failure on_error on_fail', afterFailure],
  [
    'always on_exit on_success finally post after_script cleanup',
    { write: { finally: [{ ...example, name: 'tidy' }] }, at: 'at the top level' },
  ],
  ['undo revert compensate', { write: (value) => ({ rollback: command(value) }) }],
  ['block steps tasks', { write: sub, say: 'or write the steps after this one' }],
  [
    'workflow include include_tasks import_tasks include_role import_role call sub_workflow subworkflow child trigger extends template_ref dag',
    { write: sub },
  ],
  [
    'archive_artifacts',
    {
      write: { action: 'cmd.run', args: { cmd: 'cp -r dist /srv/artifacts/' } },
      say: 'files stay where the command puts them',
    },
  ],
  [
    'cache before_script checkout services gather_facts no_log no_tty environment_url coverage interruptible resource_group delegate_facts run_once position type_version parameters_ui mail_on_error signal_on_stop silent',
    leave('Errand has no such key'),
  ],
  [
    'sleep pause wait',
    { write: (value) => ({ action: 'cmd.run', args: { cmd: `sleep ${seconds(value, 5)}` } }) },
  ],
  [
    'copy template',
    { write: { action: 'file.write', args: { path: '/etc/shop.conf', content: 'level = ${LEVEL}\n' } } },
  ],
  [
    'debug echo print',
    {
      write: (value) => ({
        action: 'cmd.run',
        args: { cmd: `echo "${texts(own(value, 'msg') ?? value, 'hello')[0]!.replaceAll('"', '')}"` },
      }),
    },
  ],
  ['set_fact set_vars set', { write: (value) => ({ action: 'vars.set', args: { vars: variables(value) } }) }],
  [
    'uri http get_url fetch',
    {
      write: (value) => ({
        action: 'http.request',
        args: { url: asText(own(value, 'url')) ?? 'https://example.org/api' },
      }),
    },
  ],
  [
    'approval manual input_request gate',
    { write: { action: 'approval.wait', args: { message: 'Deploy?' } } },
  ],
  ['service systemd', { write: { action: 'cmd.run', args: { cmd: 'systemctl restart shop' } } }],
  [
    'apt yum dnf apk package pip npm',
    { write: { action: 'cmd.run', args: { cmd: 'apt-get install -y jq' } } },
  ],
  [
    'git',
    { write: { action: 'cmd.run', args: { cmd: 'git clone --depth 1 https://example.org/shop.git' } } },
  ],
  ['file', { write: { action: 'cmd.run', args: { cmd: 'mkdir -p /srv/shop' } } }],
]
