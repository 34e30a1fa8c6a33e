import { asText } from '../loose-values.ts'
import {
  command,
  count,
  example,
  failed,
  type Instead,
  type Keys,
  leave,
  minutes,
  sub,
  texts,
  timeout,
  variables,
  type Words,
} from './instead.ts'

const noSchedule = leave('a file has no schedule; start it from cron or another system with: errand run FILE')
const inEachStep = (example: Keys): Instead => ({ write: example, at: 'in the step' })

/** Keys at the top level. */
export const wordsOfFile: Words = [
  [
    'jobs tasks job task plays playbook pipeline nodes spec templates',
    {
      write: { steps: [example] },
      say: 'steps are one list; add needs: if they should not run one after another',
    },
  ],
  ['stages stage', leave('steps run in the order of the list; with needs: [other-step] they form a graph')],
  [
    'services containers',
    {
      say: 'steps run commands that end; for a program that keeps running, start a bot: errand bot start web --image nginx',
    },
  ],
  ['on schedule schedules cron trigger triggers interval every timer timers start_at', noSchedule],
  [
    'vars variables environment env_vars globals environ',
    { write: (value) => ({ env: asText(value) === undefined ? variables(value) : { STAGE: value } }) },
  ],
  [
    'vars_files env_file dotenv env_from',
    {
      write: { env: { NAME: 'value' } },
      say: 'pass values from outside with: errand run FILE --var NAME=value',
    },
  ],
  [
    'params parameters arguments args input options vars_prompt',
    {
      write: (value) => ({
        inputs: Object.fromEntries(
          Object.entries(variables(value)).map(([name, value]) => [name, { default: value }]),
        ),
      }),
    },
  ],
  [
    'hosts host targets target nodes_list',
    {
      write: (value) => ({
        inventory: {
          hosts: Object.fromEntries(
            texts(value, 'web').map((name) => [
              /^[\w.-]+$/.test(name) ? name : 'web',
              { address: 'http://10.0.0.5:7072' },
            ]),
          ),
        },
      }),
      say: 'and name it in the steps: targets: [web]',
    },
  ],
  [
    'groups host_groups children inventories',
    {
      write: { inventory: { hosts: { web1: { group: 'web' } } } },
      say: 'there are no groups of hosts: name each host in targets; group: is a group of runners on a hub',
    },
  ],
  [
    'handlers',
    {
      write: { finally: [{ ...example, name: 'restart' }] },
      say: 'to run a step only after a change, add when: to it',
    },
  ],
  ['on_failure on_error rescue on_fail', { write: { finally: [failed] } }],
  [
    'after_script post always cleanup teardown on_exit handler_on on_success after after_all post_tasks after_each',
    { write: { finally: [{ ...example, name: 'tidy' }] }, say: 'they run at the end, even after a failure' },
  ],
  [
    'before_script pre_tasks setup init before before_all pre',
    { write: { steps: [{ ...example, name: 'prepare' }] }, say: 'put it first in the list of steps' },
  ],
  [
    'defaults default',
    leave('there are no defaults; set it in each step, such as shell: bash under args of shell.run'),
  ],
  [
    'include includes import imports import_playbook uses extends',
    { write: (value) => ({ steps: [{ name: 'part', ...sub(value) }] }) },
  ],
  [
    'permissions run_name log_dir mail_on smtp error_mail info_mail hist_retention_days gather_facts become remote_user connection strategy image cache artifacts dotenv_files silent set shopt tags any_errors_fatal entrypoint networks volumes',
    leave('Errand has no such key'),
  ],
  ['timeout timeout_sec timeout_secs time_limit max_time', timeout],
  ['timeout_minutes timeout_in_minutes', minutes],
  ['retry retries retry_policy', inEachStep({ retry: { max_attempts: 3 } })],
  [
    'max_active_runs max_concurrent_runs parallelism max_parallel parallel serial forks',
    {
      write: (value) => ({ concurrency: { group: 'NAME', limit: count(value, 1) } }),
      say: 'this limits runs; steps run in parallel if they have needs:',
    },
  ],
  ['max_active_steps', leave('a step with matrix or foreach can have max_parallel')],
  ['secrets secret', inEachStep({ secrets: ['TOKEN'] })],
  ['when if condition preconditions only except rules', inEachStep({ when: '${STAGE} == "prod"' })],
  ['needs depends depends_on dependencies', inEachStep({ needs: ['other-step'] })],
  ['continue_on_error ignore_errors fail_fast', inEachStep({ continue_on_error: true })],
  ['matrix', inEachStep({ matrix: { NODE: [22, 24] } })],
  ['foreach loop', inEachStep({ foreach: ['a', 'b'] })],
  [
    'cwd dir workdir working_dir working_directory chdir',
    {
      write: (value) => ({ cwd: texts(value, '/srv/app')[0] }),
      at: 'under args',
      say: 'set it in each step',
    },
  ],
  [
    'shell executable executor',
    { write: { action: 'shell.run', args: { shell: 'bash', script: 'echo hello' } }, at: 'in the step' },
  ],
  [
    'script run command cmd cmds commands',
    { write: (value) => ({ steps: [{ name: 'run', ...command(value) }] }) },
  ],
  [
    'title label workflow id workflow_name generate_name',
    { write: (value) => ({ name: texts(value, 'demo')[0] }) },
  ],
  ['desc summary doc', { write: (value) => ({ description: texts(value, 'what it is for')[0] }) }],
  ['output', { write: { outputs: { RESULT: '${VAR}' } } }],
  [
    'api_version kind metadata connections settings static_data entry_point',
    {
      say: 'this is not a workflow file of Errand; such a file starts with version: v0.1, then name: and steps:',
    },
  ],
]
