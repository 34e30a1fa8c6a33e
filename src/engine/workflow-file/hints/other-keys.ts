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

const folder: Instead = { write: (given) => ({ cwd: texts(given, '/srv/app')[0] }) }
const noSsh = leave('Errand does not use SSH; start "errand agent-server" on that host, or a runner of a hub')
const wait: Instead = { write: (given) => ({ backoff: { delay_seconds: seconds(given, 5) } }) }

/** Keys of the arguments of any action. */
const ofAll: Words = [
  ['env environment vars variables', { write: (given) => ({ env: variables(given) }), at: 'beside args' }],
  [
    'timeout timeout_secs timeout_sec timeout_seconds',
    { write: (given) => ({ timeout_seconds: seconds(given) }), at: 'beside args' },
  ],
  [
    'retries retry',
    { write: (given) => ({ retry: { max_attempts: count(given, 2) + 1 } }), at: 'beside args' },
  ],
  ['register', { write: { outputs: { RESULT: 'stdout' } }, at: 'beside args' }],
  ['ignore_errors', { write: { continue_on_error: true }, at: 'beside args' }],
]
const ofOutput: Words = [
  ['max_output output_limit', { write: { max_output_bytes: 65536 } }],
  [
    'output_dir output_folder log_dir',
    { write: (given) => ({ output_path: texts(given, '/tmp/output')[0] }) },
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
      { write: (given) => ({ cmd: texts(given, 'echo hello').join('\n') }) },
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
      { write: (given) => ({ script: texts(given, 'echo hello').join('\n') }) },
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
        write: (given) => ({ action: 'cmd.run', args: { cmd: `sh ${texts(given, 'deploy.sh')[0]}` } }),
        at: 'in the step',
        say: 'the script is written in the workflow file itself',
      },
    ],
    ...ofProcess,
  ],
  'http.request': [
    ['uri endpoint address', { write: (given) => ({ url: texts(given, 'https://example.org/api')[0] }) }],
    [
      'json data payload form',
      {
        write: (given) => ({
          body: asText(given) ?? json(given),
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
        write: (given) => ({
          expect_status: (Array.isArray(given) ? given : [given]).map((one) => count(one, 200, 600)),
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
      { write: (given) => ({ path: texts(given, '/tmp/note.txt')[0] }) },
    ],
    [
      'text data contents body template value',
      { write: (given) => ({ content: texts(given, 'level = ${LEVEL}\n')[0] }) },
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
      { write: (given) => ({ message: texts(given, 'Deploy?')[0] }) },
    ],
    [
      'timeout timeout_secs timeout_minutes expires',
      { write: (given) => ({ timeout_seconds: seconds(given, 3600) }) },
    ],
    ['approver users who reviewers allowed_users', { write: { approvers: { users: ['ann'] } } }],
    ['roles role groups teams', { write: { approvers: { roles: ['admin'] } } }],
    ['default on_expire', { write: { on_timeout: 'reject' } }],
  ],
  'workflow.run': [
    ['path name uses workflow_file source ref', { write: (given) => ({ file: part(given) }) }],
    ['vars params with args env variables parameters', { write: (given) => ({ inputs: variables(given) }) }],
  ],
  'agent.run': [
    [
      'task instruction instructions message text input query ask',
      { write: (given) => ({ prompt: texts(given, 'Make the tests pass')[0] }) },
    ],
    ['agent_type type provider name', { write: (given) => ({ agent: texts(given, 'codex')[0] }) }],
    [
      'timeout timeout_secs timeout_seconds max_seconds',
      { write: (given) => ({ budget: { seconds: seconds(given, 1800) } }) },
    ],
    ['max_turns turns', { write: (given) => ({ budget: { turns: count(given, 50) } }) }],
    ['max_tokens tokens', { write: { budget: { tokens: 400000 } } }],
    ['tests test check', { write: (given) => ({ verify: texts(given, 'npm test') }) }],
    ['dir workdir working_dir working_directory chdir folder', folder],
    ...ofOutput,
  ],
  'step.retry': [
    [
      'max attempts count times tries max_tries number',
      { write: (given) => ({ max_attempts: count(given) }) },
    ],
    [
      'retries max_retries limit',
      { write: (given) => ({ max_attempts: count(given, 2) + 1 }), say: 'the first try counts too' },
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
      { write: (given) => ({ delay_seconds: seconds(given, 1) }) },
    ],
    ['multiplier rate exponential exponent', { write: { factor: 2 } }],
    [
      'max max_delay max_interval max_duration cap',
      { write: (given) => ({ max_delay_seconds: seconds(given, 300) }) },
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
    ['vars env', { write: (given) => ({ env: variables(given) }), at: 'at the top level' }],
    ['host', { write: { hosts: { web: { address: 'http://10.0.0.5:7072' } } } }],
  ],
  'file.inventory.hosts.*': [
    [
      'url host ansible_host hostname ip endpoint addr uri server',
      { write: (given) => ({ address: hostUrl(given) }) },
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
    ['tags', { write: (given) => ({ labels: { role: texts(given, 'web')[0] } }) }],
    ['runner_group groups pool', { write: (given) => ({ group: texts(given, 'builders')[0] }) }],
    ['vars env', { write: (given) => ({ env: variables(given) }), at: 'in the step' }],
  ],
  'file.inputs.*': [
    [
      'options choices values allowed',
      {
        write: (given) => ({
          enum: asList(given).filter(scalar).length > 0 ? asList(given).filter(scalar) : ['dev', 'prod'],
        }),
      },
    ],
    ['value default_value', { write: (given) => ({ default: scalar(given) ? given : 'dev' }) }],
    [
      'help label title name desc message',
      { write: (given) => ({ description: texts(given, 'where to deploy')[0] }) },
    ],
    ['optional', { write: (given) => ({ required: given === false }) }],
  ],
  'file.concurrency': [
    ['max count max_parallel parallel max_active_runs', { write: (given) => ({ limit: count(given, 1) }) }],
    ['name key id', { write: (given) => ({ group: texts(given, 'deploy')[0] }) }],
    ['cancel_in_progress cancel', leave('later runs wait for their turn')],
  ],
  'step.resources': [
    ['cpu cores cpu_count vcpus', { write: (given) => ({ cpus: cores(given) }) }],
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
    ['cpu cores cpu_count vcpus max_cpu', { write: (given) => ({ cpus: cores(given) }) }],
    ['ram mem max_memory', { write: { memory: '4GB' } }],
    ['memory_mb max_memory_mb', { write: (given) => ({ memory: `${count(given, 512, 1e6)}MB` }) }],
    ['pids pids_limit max_processes nproc', { write: (given) => ({ processes: count(given, 200, 1e6) }) }],
    ['storage disk_size space', { write: { disk: '10GB' } }],
    [
      'timeout time timeout_seconds',
      { write: (given) => ({ timeout_seconds: seconds(given) }), at: 'in the step' },
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
      { write: (given) => ({ json: texts(given, 'items.0.id')[0]!.replace(/^\$?\./, '') }) },
    ],
    ['pattern match regexp', { write: { regex: '^v(.*)' } }],
  ],
}
