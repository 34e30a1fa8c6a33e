import { AllowedHost } from '../../../contract/isolation.ts'
import { asMap, asText, entriesOf, own } from '../loose-values.ts'
import {
  command,
  cores,
  count,
  example,
  hostUrl,
  type Instead,
  imageOf,
  json,
  names,
  part,
  plain,
  seconds,
  texts,
  variables,
  type Words,
} from './instead.ts'

/** Actions, or what other systems call them. */
export const otherActions: Words = [
  [
    'script.shell shell sh bash script shell.exec run.shell exec.shell command.shell ansible.builtin.shell win_shell',
    { write: { action: 'shell.run', args: { script: 'echo hello' } } },
  ],
  [
    'script.python python python3 script.run_python',
    {
      write: { action: 'shell.run', args: { script: '#!/usr/bin/env python3\nprint("hello")\n' } },
      say: 'the first line of the script names the program that runs it',
    },
  ],
  [
    'script.node node javascript nodejs script.javascript',
    { write: { action: 'shell.run', args: { script: '#!/usr/bin/env node\nconsole.log("hello")\n' } } },
  ],
  [
    'run cmd command exec cmd.exec command.run shell.cmd run.cmd ansible.builtin.command raw',
    { write: { action: 'cmd.run', args: { cmd: 'echo hello' } } },
  ],
  [
    'env.set set env vars set_fact var.set vars.assign set_vars ansible.builtin.set_fact',
    { write: { action: 'vars.set', args: { vars: { NAME: 'value' } } } },
  ],
  [
    'template.render template file.template file copy file.create write ansible.builtin.template ansible.builtin.copy',
    {
      write: { action: 'file.write', args: { path: '/tmp/app.conf', content: 'level = ${LEVEL}\n' } },
      say: 'variables in content are filled in',
    },
  ],
  [
    'file.copy file.move file.delete file.read fs.copy file.mkdir mkdir cp',
    { write: { action: 'cmd.run', args: { cmd: 'cp FROM TO' } } },
  ],
  [
    'http http.get http.post fetch curl uri webhook api ansible.builtin.uri',
    { write: { action: 'http.request', args: { url: 'https://example.org/api' } } },
  ],
  [
    'debug echo print log ansible.builtin.debug',
    { write: { action: 'cmd.run', args: { cmd: 'echo hello' } } },
  ],
  ['sleep wait pause delay timer', { write: { action: 'cmd.run', args: { cmd: 'sleep 5' } } }],
  [
    'approval approve manual gate confirm input',
    { write: { action: 'approval.wait', args: { message: 'Deploy?' } } },
  ],
  [
    'workflow subworkflow call include sub.run dag child',
    { write: { action: 'workflow.run', args: { file: 'part.yaml' } } },
  ],
  [
    'agent claude codex claude_code copilot opencode llm ai prompt',
    { write: { action: 'agent.run', args: { prompt: 'Make the tests pass' } } },
  ],
  [
    'docker docker.run container container.run docker.build',
    {
      write: { action: 'cmd.run', args: { cmd: 'node --version' }, isolation: 'container', image: 'node:22' },
    },
  ],
  [
    'git git.clone checkout git.checkout',
    { write: { action: 'cmd.run', args: { cmd: 'git clone --depth 1 https://example.org/shop.git' } } },
  ],
  ['none nothing nop pass', { write: { action: 'noop' } }],
]

type Value = (value: unknown, parent: unknown) => Instead | undefined
const after = (text: unknown, sign: string): string => plain(text).split(sign).at(-1)!
const steps: Value = (value) => {
  const [name, step] = entriesOf(value)[0] ?? []
  if (asMap(value))
    return {
      write: {
        steps: [
          {
            name: name ?? 'hello',
            action: 'noop',
            ...(own(step, 'action') === undefined ? command(own(step, 'run') ?? own(step, 'cmd')) : {}),
          },
        ],
      },
      say: 'steps is a list, and each entry has its own name',
    }
  return { write: { steps: [asText(value) ? { name: 'run', ...command(value) } : example] } }
}
const time: Value = (value) =>
  asText(value) === undefined ? undefined : { write: { timeout_seconds: seconds(value) } }
/** Normalizes hosts: the host of a URL, the texts of a list. */
const hostsOf = (value: unknown): string[] => texts(value, '').map(hostOf)
function hostOf(text: string): string {
  const host = /^(?:[a-z]+:\/\/)?([^/?#\s]+)/i.exec(text.trim())?.[1]?.replace(/^[^@]*@(?!private$)/, '')
  return AllowedHost.safeParse(host).success ? host! : 'api.example.com'
}
const network: Value = (value) => {
  const list = own(value, 'allow') ?? own(value, 'hosts') ?? own(value, 'domains') ?? value
  return value === undefined || value === null || typeof value === 'boolean'
    ? { write: { network: value === false ? 'none' : 'all' } }
    : { write: { network: { allow: hostsOf(list) } } }
}
const isolation: Value = (value) => ({
  write: {
    isolation: /docker|podman|oci|image/i.test(plain(value))
      ? 'container'
      : /^(false|no|off|host)$/i.test(plain(value))
        ? 'none'
        : 'sandbox',
  },
})
const allow: Value = (value) => ({ write: { allow: hostsOf(value) } })
const allowedHost: Value = (value) =>
  asText(value) === undefined ? undefined : { say: `write ${hostsOf(value)[0]}` }
const image: Value = (value) => ({ write: { isolation: 'container', image: imageOf(value) } })
const size =
  (key: string, text: string): Value =>
  () => ({ write: { [key]: text } })
const fromList =
  (key: string): Value =>
  (value) => ({ write: { [key]: variables(value) } })
const hosts: Value = (value) => ({
  write: {
    hosts: Object.fromEntries(
      texts(value, 'web').map((name) => [
        /^[\w.-]+$/.test(name) ? name : 'web',
        { address: 'http://10.0.0.5:7072' },
      ]),
    ),
  },
})
/** Handles a text where a list of texts is wanted. */
const list =
  (key: string): Value =>
  (value) =>
    plain(value) === '' ? undefined : { write: { [key]: [plain(value)] } }

const variable: Value = (value) => ({
  say:
    value === null
      ? 'write "" for an empty text'
      : 'a variable is one text; use a separate variable for each value',
})

/** Values of the wrong kind, by their place; also required values that are missing. */
export const otherValues: Readonly<Record<string, Value>> = {
  'file.steps': steps,
  'file.finally': (value) =>
    asMap(value)
      ? {
          write: {
            finally: own(value, 'action')
              ? [value]
              : (steps(value, undefined)!.write as { steps: unknown[] }).steps,
          },
        }
      : undefined,
  'file.isolation': isolation,
  'file.network': network,
  'file.network.allow': allow,
  'file.network.allow.*': allowedHost,
  'file.image': image,
  'step.isolation': isolation,
  'step.network': network,
  'step.network.allow': allow,
  'step.network.allow.*': allowedHost,
  'step.image': image,
  'file.name': (value) => (value === undefined ? { write: { name: 'demo' } } : undefined),
  'file.timeout_seconds': time,
  'file.env': fromList('env'),
  'file.env.*': variable,
  'file.inputs': (value) => ({
    write: {
      inputs: Object.fromEntries(names(value, 'STAGE').map((name) => [name, { required: true }])),
    },
  }),
  'file.inputs.*': (value) => ({
    say: `write {${value === null ? 'required: true' : `default: ${plain(value)}`}}`,
  }),
  'file.inputs.*.type': (value) =>
    /^(int|integer|float|double|num)$/i.test(plain(value))
      ? { write: { type: 'number' } }
      : /^bool/i.test(plain(value))
        ? { write: { type: 'boolean' } }
        : /^(choice|select|enum)$/i.test(plain(value))
          ? { write: { enum: ['dev', 'prod'] } }
          : { write: { type: 'string' } },
  'file.outputs': (value) => ({
    write: {
      outputs: Object.fromEntries(names(value, 'RESULT').map((name) => [name, `\${${name}}`])),
    },
  }),
  'file.concurrency': (value) => ({
    write: { concurrency: asText(value) ? { group: value } : { group: 'deploy', limit: count(value, 1) } },
  }),
  'file.concurrency.group': () => ({ write: { group: 'deploy' } }),
  'file.inventory': () => ({ write: { inventory: { hosts: { web: { address: 'http://10.0.0.5:7072' } } } } }),
  'file.inventory.hosts': hosts,
  'file.inventory.hosts.*': (value) => ({
    write: { address: hostUrl(after(value, '//')) },
    say: 'a host is a map: {address: URL}',
  }),
  'file.inventory.hosts.*.address': (value) => ({
    write: { address: hostUrl(after(value, '//').split('/')[0]) },
  }),
  step: (value) => ({ write: { name: 'build', ...(asText(value) ? command(value) : { action: 'noop' }) } }),
  'step.name': (value) => (value === undefined || value === '' ? { write: { name: 'build' } } : undefined),
  'step.action': (value) =>
    asText(value) ? undefined : { write: { action: 'cmd.run', args: { cmd: 'echo hello' } } },
  'step.args': (value, parent) => ({ write: { args: mainArgument(own(parent, 'action'), value) } }),
  'step.retry': (value) => ({ write: { retry: { max_attempts: count(value) } } }),
  'step.retry.max_attempts': (value) => (value === undefined ? { write: { max_attempts: 3 } } : undefined),
  'step.retry.backoff': (value) => ({ write: { backoff: { delay_seconds: seconds(value, 5) } } }),
  'step.timeout_seconds': time,
  'step.env': fromList('env'),
  'step.env.*': variable,
  'step.when': (value) => ({
    write: {
      when: Array.isArray(value) ? texts(value, '${STAGE} == "prod"').join(' && ') : '${STAGE} == "prod"',
    },
  }),
  'step.secrets': (value) => ({
    write: { secrets: names(value, 'TOKEN') },
  }),
  'step.outputs': (value) => ({
    write: {
      outputs: Object.fromEntries(names(value, 'RESULT').map((name) => [name, 'stdout'])),
    },
  }),
  'step.outputs.*': () => ({
    say: 'write stdout, stderr or exit_code; or a map: {from: stdout, json: items.0.id}',
  }),
  'step.outputs.*.from': () => ({ write: { from: 'stdout' } }),
  'step.matrix': () => ({ write: { matrix: { NODE: [22, 24] } } }),
  'step.matrix.*.*': () => ({ say: 'each key of matrix is a variable, and its value is a list' }),
  'step.matrix.*': (value) =>
    value === null || asMap(value) ? undefined : { say: `write a list: [${plain(value)}]` },
  'step.foreach': () => ({ write: { foreach: ['a', 'b'] } }),
  'step.rollback': (value) => ({
    write: {
      rollback:
        Array.isArray(value) && asMap(value[0])
          ? { action: 'cmd.run', args: { cmd: 'echo undo' } }
          : command(value),
    },
  }),
  'step.rollback.action': () => ({ write: { action: 'cmd.run', args: { cmd: 'echo undo' } } }),
  'step.targets': list('targets'),
  'step.needs': list('needs'),
  'step.expect_vars': (value) => ({ write: { expect_vars: names(value, 'TOKEN') } }),
  'step.expect_vars.*': () => ({ say: 'write a name such as TOKEN' }),
  'step.resources': () => ({ write: { resources: { cpus: 2, memory: '4GB' } } }),
  'step.resources.cpus': (value) => ({ write: { cpus: cores(value) } }),
  'step.resources.memory': size('memory', '4GB'),
  'step.limits': () => ({ write: { limits: { memory: '4GB' } } }),
  'step.limits.cpus': (value) => ({ write: { cpus: cores(value) } }),
  'step.limits.memory': size('memory', '4GB'),
  'step.limits.disk': size('disk', '10GB'),
  'cmd.run.cmd': (value) => ({
    write: { cmd: texts(value, 'echo hello').join('\n') },
    say: Array.isArray(value) ? 'it is one text; put each command on its own line after "cmd: |"' : undefined,
  }),
  'shell.run.script': (value) => ({
    write: { script: texts(value, 'echo hello').join('\n') },
    say: Array.isArray(value) ? 'it is one text; put its lines after "script: |"' : undefined,
  }),
  'file.write.path': () => ({ write: { path: '/tmp/note.txt' } }),
  'file.write.content': (value) => ({
    write: { content: value === undefined ? 'hello\n' : json(value) },
  }),
  'http.request.url': () => ({ write: { url: 'https://example.org/api' } }),
  'http.request.body': (value) => ({
    write: { body: json(value) },
    say: 'it is sent unchanged',
  }),
  'http.request.expect_status': (value) => ({ write: { expect_status: [count(value, 200, 600)] } }),
  'http.request.headers': () => ({ write: { headers: { accept: 'application/json' } } }),
  'vars.set.vars': (value) => ({ write: { vars: variables(value) } }),
  'agent.run.prompt': () => ({ write: { prompt: 'Make the tests pass' } }),
  'agent.run.verify': list('verify'),
  'agent.run.budget': (value) => ({ write: { budget: { seconds: seconds(value, 1800) } } }),
  'approval.wait.timeout_seconds': time,
  'workflow.run.inputs': (value) => ({ write: { inputs: variables(value) } }),
  'workflow.run.workflow': (value) => (asText(value) ? { write: { file: part(value) } } : undefined),
}

function mainArgument(action: unknown, value: unknown): Record<string, unknown> {
  const text = texts(value, 'echo hello').join('\n')
  if (action === 'shell.run') return { script: text }
  if (action === 'http.request') return { url: text === 'echo hello' ? 'https://example.org/api' : text }
  if (action === 'file.write') return { path: '/tmp/note.txt', content: 'hello\n' }
  if (action === 'vars.set') return { vars: variables(value) }
  if (action === 'agent.run') return { prompt: text === 'echo hello' ? 'Make the tests pass' : text }
  if (action === 'approval.wait') return { message: 'Deploy?' }
  return action === 'workflow.run' ? { file: 'part.yaml' } : { cmd: text }
}
