import { asList, asText } from '../loose-values.ts'
import {
  command,
  cores,
  count,
  hostUrl,
  type Instead,
  json,
  leave,
  part,
  scalar,
  seconds,
  texts,
  variables,
  type Words,
} from './instead.ts'

const folder: Instead = { write: (value) => ({ cwd: texts(value, '/srv/app')[0] }) }
const noSsh = leave('Errand does not use SSH; start "errand agent-server" on that host, or a runner of a hub')
const wait: Instead = { write: (value) => ({ backoff: { delay_seconds: seconds(value, 5) } }) }

/** Keys of the arguments of any action. */
const ofAll: Words = [
  ['env environment vars variables', { write: (value) => ({ env: variables(value) }), at: 'beside args' }],
  [
    'timeout timeout_secs timeout_sec timeout_seconds',
    { write: (value) => ({ timeout_seconds: seconds(value) }), at: 'beside args' },
  ],
  [
    'retries retry',
    { write: (value) => ({ retry: { max_attempts: count(value, 2) + 1 } }), at: 'beside args' },
  ],
  ['register', { write: { outputs: { RESULT: 'stdout' } }, at: 'beside args' }],
  ['ignore_errors', { write: { continue_on_error: true }, at: 'beside args' }],
]
const ofOutput: Words = [
  ['max_output output_limit', { write: { max_output_bytes: 65536 } }],
  [
    'output_dir output_folder log_dir',
    { write: (value) => ({ output_path: texts(value, '/tmp/output')[0] }) },
  ],
  ...ofAll,
]
const ofProcess: Words = [
  ['dir workdir working_dir working_directory chdir folder work_dir', folder],
  ['export exports export_env', { write: { export_vars: true } }],
  ...ofOutput,
]

/** Keys of other maps, by their place. */
export const wordsByPlace: Readonly<Record<string, Words>> = {
  'cmd.run': [
    [
      'command run script shell_command exec line _raw_params commands args',
      { write: (value) => ({ cmd: texts(value, 'echo hello').join('\n') }) },
    ],
    [
      'shell executable interpreter',
      {
        write: { action: 'shell.run', args: { shell: 'bash', script: 'echo hello' } },
        at: 'in the step',
        say: 'cmd.run always uses /bin/sh',
      },
    ],
    ['path', folder],
    ...ofProcess,
  ],
  'shell.run': [
    [
      'run cmd command code body text lines commands content source',
      { write: (value) => ({ script: texts(value, 'echo hello').join('\n') }) },
    ],
    [
      'interpreter executable language lang',
      {
        write: { script: '#!/usr/bin/env python3\nprint("hello")\n' },
        say: 'the first line of the script names the program that runs it',
      },
    ],
    [
      'path file',
      {
        write: (value) => ({ action: 'cmd.run', args: { cmd: `sh ${texts(value, 'deploy.sh')[0]}` } }),
        at: 'in the step',
        say: 'the script is written in the workflow file itself',
      },
    ],
    ...ofProcess,
  ],
  'http.request': [
    ['uri endpoint address', { write: (value) => ({ url: texts(value, 'https://example.org/api')[0] }) }],
    [
      'json data payload form',
      {
        write: (value) => ({
          body: asText(value) ?? json(value),
          headers: { 'content-type': 'application/json' },
        }),
      },
    ],
    [
      'params query query_params',
      { say: 'they are part of the URL: write url: https://example.org/api?name=value' },
    ],
    [
      'status status_code expected_status expect success_codes status_codes',
      {
        write: (value) => ({
          expect_status: (Array.isArray(value) ? value : [value]).map((one) => count(one, 200, 600)),
        }),
      },
    ],
    ['header', { write: { headers: { accept: 'application/json' } } }],
    [
      'auth token bearer user password username',
      { write: { headers: { authorization: 'Bearer ${TOKEN}' } }, say: 'and secrets: [TOKEN] beside args' },
    ],
    ['verify insecure validate_certs follow_redirects', leave('Errand has no such key')],
    ...ofOutput,
  ],
  'file.write': [
    [
      'dest file filename dst target to destination',
      { write: (value) => ({ path: texts(value, '/tmp/note.txt')[0] }) },
    ],
    [
      'text data contents body template value',
      { write: (value) => ({ content: texts(value, 'level = ${LEVEL}\n')[0] }) },
    ],
    [
      'src source from',
      {
        write: { content: 'level = ${LEVEL}\n' },
        say: 'content is the text itself; to copy a file, write action: cmd.run and args: {cmd: cp FROM TO}',
      },
    ],
    ['permissions chmod', { write: { mode: '644' } }],
    [
      'owner group append backup',
      { write: { action: 'cmd.run', args: { cmd: 'chown shop: /etc/shop.conf' } }, at: 'in the step' },
    ],
    ...ofAll,
  ],
  'vars.set': [],
  'approval.wait': [
    [
      'prompt question text description title msg',
      { write: (value) => ({ message: texts(value, 'Deploy?')[0] }) },
    ],
    [
      'timeout timeout_secs timeout_minutes expires',
      { write: (value) => ({ timeout_seconds: seconds(value, 3600) }) },
    ],
    ['approver users who reviewers allowed_users', { write: { approvers: { users: ['ann'] } } }],
    ['roles role groups teams', { write: { approvers: { roles: ['admin'] } } }],
    ['default on_expire', { write: { on_timeout: 'reject' } }],
  ],
  'workflow.run': [
    ['path name uses workflow_file source ref', { write: (value) => ({ file: part(value) }) }],
    ['vars params with args env variables parameters', { write: (value) => ({ inputs: variables(value) }) }],
  ],
  'agent.run': [
    [
      'task instruction instructions message text input query ask',
      { write: (value) => ({ prompt: texts(value, 'Make the tests pass')[0] }) },
    ],
    ['agent_type type provider name', { write: (value) => ({ agent: texts(value, 'codex')[0] }) }],
    [
      'timeout timeout_secs timeout_seconds max_seconds',
      { write: (value) => ({ budget: { seconds: seconds(value, 1800) } }) },
    ],
    ['max_turns turns', { write: (value) => ({ budget: { turns: count(value, 50) } }) }],
    ['max_tokens tokens', { write: { budget: { tokens: 400000 } } }],
    ['tests test check', { write: (value) => ({ verify: texts(value, 'npm test') }) }],
    ['dir workdir working_dir working_directory chdir folder', folder],
    ...ofOutput,
  ],
  'step.retry': [
    [
      'max attempts count times tries max_tries number',
      { write: (value) => ({ max_attempts: count(value) }) },
    ],
    [
      'retries max_retries limit',
      { write: (value) => ({ max_attempts: count(value, 2) + 1 }), say: 'the first try counts too' },
    ],
    ['delay interval wait delay_seconds interval_sec interval_seconds wait_seconds sleep retry_delay', wait],
    [
      'factor multiplier exponential max_delay max_delay_seconds',
      { write: { backoff: { delay_seconds: 1, factor: 2, max_delay_seconds: 300 } } },
    ],
    ['when on exit_code retry_on retry_policy', leave('every failure is retried')],
  ],
  'step.retry.backoff': [
    [
      'delay initial interval duration seconds wait',
      { write: (value) => ({ delay_seconds: seconds(value, 1) }) },
    ],
    ['multiplier rate exponential exponent', { write: { factor: 2 } }],
    [
      'max max_delay max_interval max_duration cap',
      { write: (value) => ({ max_delay_seconds: seconds(value, 300) }) },
    ],
  ],
  'file.inventory': [
    [
      'groups children all host_groups',
      {
        write: { hosts: { web1: { group: 'web' } } },
        say: 'there are no groups of hosts: name each host in targets; group: is a group of runners on a hub',
      },
    ],
    ['vars env', { write: (value) => ({ env: variables(value) }), at: 'at the top level' }],
    ['host', { write: { hosts: { web: { address: 'http://10.0.0.5:7072' } } } }],
  ],
  'file.inventory.hosts.*': [
    [
      'url host ansible_host hostname ip endpoint addr uri server',
      { write: (value) => ({ address: hostUrl(value) }) },
    ],
    ['port ansible_port', { write: { address: 'http://10.0.0.5:7072' } }],
    [
      'token password secret api_key',
      {
        write: { token_env: 'WEB_TOKEN' },
        say: 'this names the environment variable with the token; never write a token in a file',
      },
    ],
    [
      'user ansible_user ssh_user ssh_key key ansible_ssh_private_key_file ansible_connection connection ssh identity_file',
      noSsh,
    ],
    ['tags', { write: (value) => ({ labels: { role: texts(value, 'web')[0] } }) }],
    ['runner_group groups pool', { write: (value) => ({ group: texts(value, 'builders')[0] }) }],
    ['vars env', { write: (value) => ({ env: variables(value) }), at: 'in the step' }],
  ],
  'file.inputs.*': [
    [
      'options choices values allowed',
      {
        write: (value) => ({
          enum: asList(value).filter(scalar).length > 0 ? asList(value).filter(scalar) : ['dev', 'prod'],
        }),
      },
    ],
    ['value default_value', { write: (value) => ({ default: scalar(value) ? value : 'dev' }) }],
    [
      'help label title name desc message',
      { write: (value) => ({ description: texts(value, 'where to deploy')[0] }) },
    ],
    ['optional', { write: (value) => ({ required: value === false }) }],
  ],
  'file.concurrency': [
    ['max count max_parallel parallel max_active_runs', { write: (value) => ({ limit: count(value, 1) }) }],
    ['name key id', { write: (value) => ({ group: texts(value, 'deploy')[0] }) }],
    ['cancel_in_progress cancel', leave('later runs wait for their turn')],
  ],
  'step.resources': [
    ['cpu cores cpu_count vcpus', { write: (value) => ({ cpus: cores(value) }) }],
    ['ram mem memory_mb', { write: { memory: '4GB' } }],
    [
      'gpu gpus',
      {
        write: { inventory: { hosts: { gpu: { labels: { gpu: 'yes' } } } } },
        at: 'at the top level',
        say: 'and targets: [gpu] in the step; labels select the runner',
      },
    ],
    ['requests', { write: { cpus: 1, memory: '2GB' } }],
    [
      'limits processes disk',
      { write: { limits: { memory: '4GB', processes: 200, disk: '10GB' } }, at: 'in the step' },
    ],
  ],
  'step.limits': [
    ['cpu cores cpu_count vcpus max_cpu', { write: (value) => ({ cpus: cores(value) }) }],
    ['ram mem max_memory', { write: { memory: '4GB' } }],
    ['memory_mb max_memory_mb', { write: (value) => ({ memory: `${count(value, 512, 1e6)}MB` }) }],
    ['pids pids_limit max_processes nproc', { write: (value) => ({ processes: count(value, 200, 1e6) }) }],
    ['storage disk_size space', { write: { disk: '10GB' } }],
    [
      'timeout time timeout_seconds',
      { write: (value) => ({ timeout_seconds: seconds(value) }), at: 'in the step' },
    ],
  ],
  'step.rollback': [
    ['run command cmd script', { write: command }],
    ['with params', { write: { args: { cmd: 'echo undo' } } }],
  ],
  'step.outputs.*': [
    ['source stream', { write: { from: 'stdout' } }],
    [
      'path jsonpath json_path jq key field',
      { write: (value) => ({ json: texts(value, 'items.0.id')[0]!.replace(/^\$?\./, '') }) },
    ],
    ['pattern match regexp', { write: { regex: '^v(.*)' } }],
  ],
}
