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

type Value = (given: unknown, parent: unknown) => Instead | undefined
const after = (text: unknown, sign: string): string => plain(text).split(sign).at(-1)!
const steps: Value = (given) => {
  const [name, step] = entriesOf(given)[0] ?? []
  if (asMap(given))
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
  return { write: { steps: [asText(given) ? { name: 'run', ...command(given) } : example] } }
}
const time: Value = (given) =>
  asText(given) === undefined ? undefined : { write: { timeout_seconds: seconds(given) } }
/** Normalizes hosts: the host of a URL, the texts of a list. */
const hostsOf = (given: unknown): string[] => texts(given, '').map(hostOf)
function hostOf(text: string): string {
  const host = /^(?:[a-z]+:\/\/)?([^/?#\s]+)/i.exec(text.trim())?.[1]?.replace(/^[^@]*@(?!private$)/, '')
  return AllowedHost.safeParse(host).success ? host! : 'api.example.com'
}
const network: Value = (given) => {
  const list = own(given, 'allow') ?? own(given, 'hosts') ?? own(given, 'domains') ?? given
  return given === undefined || given === null || typeof given === 'boolean'
    ? { write: { network: given === false ? 'none' : 'all' } }
    : { write: { network: { allow: hostsOf(list) } } }
}
const isolation: Value = (given) => ({
  write: {
    isolation: /docker|podman|oci|image/i.test(plain(given))
      ? 'container'
      : /^(false|no|off|host)$/i.test(plain(given))
        ? 'none'
        : 'sandbox',
  },
})
const allow: Value = (given) => ({ write: { allow: hostsOf(given) } })
const allowedHost: Value = (given) =>
  asText(given) === undefined ? undefined : { say: `write ${hostsOf(given)[0]}` }
const image: Value = (given) => ({ write: { isolation: 'container', image: imageOf(given) } })
const size =
  (key: string, text: string): Value =>
  () => ({ write: { [key]: text } })
const fromList =
  (key: string): Value =>
  (given) => ({ write: { [key]: variables(given) } })
const hosts: Value = (given) => ({
  write: {
    hosts: Object.fromEntries(
      texts(given, 'web').map((name) => [
        /^[\w.-]+$/.test(name) ? name : 'web',
        { address: 'http://10.0.0.5:7072' },
      ]),
    ),
  },
})
/** Handles a text where a list of texts is wanted. */
const list =
  (key: string): Value =>
  (given) =>
    plain(given) === '' ? undefined : { write: { [key]: [plain(given)] } }

const variable: Value = (given) => ({
  say:
    given === null
      ? 'write "" for an empty text'
      : 'a variable is one text; use a separate variable for each value',
})

/** Values of the wrong kind, by their place; also required values that are missing. */
export const otherValues: Readonly<Record<string, Value>> = {
  'file.steps': steps,
  'file.finally': (given) =>
    asMap(given)
      ? {
          write: {
            finally: own(given, 'action')
              ? [given]
              : (steps(given, undefined)!.write as { steps: unknown[] }).steps,
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
  'file.name': (given) => (given === undefined ? { write: { name: 'demo' } } : undefined),
  'file.timeout_seconds': time,
  'file.env': fromList('env'),
  'file.env.*': variable,
  'file.inputs': (given) => ({
    write: {
      inputs: Object.fromEntries(names(given, 'STAGE').map((name) => [name, { required: true }])),
    },
  }),
  'file.inputs.*': (given) => ({
    say: `write {${given === null ? 'required: true' : `default: ${plain(given)}`}}`,
  }),
  'file.inputs.*.type': (given) =>
    /^(int|integer|float|double|num)$/i.test(plain(given))
      ? { write: { type: 'number' } }
      : /^bool/i.test(plain(given))
        ? { write: { type: 'boolean' } }
        : /^(choice|select|enum)$/i.test(plain(given))
          ? { write: { enum: ['dev', 'prod'] } }
          : { write: { type: 'string' } },
  'file.outputs': (given) => ({
    write: {
      outputs: Object.fromEntries(names(given, 'RESULT').map((name) => [name, `\${${name}}`])),
    },
  }),
  'file.concurrency': (given) => ({
    write: { concurrency: asText(given) ? { group: given } : { group: 'deploy', limit: count(given, 1) } },
  }),
  'file.concurrency.group': () => ({ write: { group: 'deploy' } }),
  'file.inventory': () => ({ write: { inventory: { hosts: { web: { address: 'http://10.0.0.5:7072' } } } } }),
  'file.inventory.hosts': hosts,
  'file.inventory.hosts.*': (given) => ({
    write: { address: hostUrl(after(given, '//')) },
    say: 'a host is a map: {address: URL}',
  }),
  'file.inventory.hosts.*.address': (given) => ({
    write: { address: hostUrl(after(given, '//').split('/')[0]) },
  }),
  step: (given) => ({ write: { name: 'build', ...(asText(given) ? command(given) : { action: 'noop' }) } }),
  'step.name': (given) => (given === undefined || given === '' ? { write: { name: 'build' } } : undefined),
  'step.action': (given) =>
    asText(given) ? undefined : { write: { action: 'cmd.run', args: { cmd: 'echo hello' } } },
  'step.args': (given, parent) => ({ write: { args: mainArgument(own(parent, 'action'), given) } }),
  'step.retry': (given) => ({ write: { retry: { max_attempts: count(given) } } }),
  'step.retry.max_attempts': (given) => (given === undefined ? { write: { max_attempts: 3 } } : undefined),
  'step.retry.backoff': (given) => ({ write: { backoff: { delay_seconds: seconds(given, 5) } } }),
  'step.timeout_seconds': time,
  'step.env': fromList('env'),
  'step.env.*': variable,
  'step.when': (given) => ({
    write: {
      when: Array.isArray(given) ? texts(given, '${STAGE} == "prod"').join(' && ') : '${STAGE} == "prod"',
    },
  }),
  'step.secrets': (given) => ({
    write: { secrets: names(given, 'TOKEN') },
  }),
  'step.outputs': (given) => ({
    write: {
      outputs: Object.fromEntries(names(given, 'RESULT').map((name) => [name, 'stdout'])),
    },
  }),
  'step.outputs.*': () => ({
    say: 'write stdout, stderr or exit_code; or a map: {from: stdout, json: items.0.id}',
  }),
  'step.outputs.*.from': () => ({ write: { from: 'stdout' } }),
  'step.matrix': () => ({ write: { matrix: { NODE: [22, 24] } } }),
  'step.matrix.*.*': () => ({ say: 'each key of matrix is a variable, and its value is a list' }),
  'step.matrix.*': (given) =>
    given === null || asMap(given) ? undefined : { say: `write a list: [${plain(given)}]` },
  'step.foreach': () => ({ write: { foreach: ['a', 'b'] } }),
  'step.rollback': (given) => ({
    write: {
      rollback:
        Array.isArray(given) && asMap(given[0])
          ? { action: 'cmd.run', args: { cmd: 'echo undo' } }
          : command(given),
    },
  }),
  'step.rollback.action': () => ({ write: { action: 'cmd.run', args: { cmd: 'echo undo' } } }),
  'step.targets': list('targets'),
  'step.needs': list('needs'),
  'step.expect_vars': (given) => ({ write: { expect_vars: names(given, 'TOKEN') } }),
  'step.expect_vars.*': () => ({ say: 'write a name such as TOKEN' }),
  'step.resources': () => ({ write: { resources: { cpus: 2, memory: '4GB' } } }),
  'step.resources.cpus': (given) => ({ write: { cpus: cores(given) } }),
  'step.resources.memory': size('memory', '4GB'),
  'step.limits': () => ({ write: { limits: { memory: '4GB' } } }),
  'step.limits.cpus': (given) => ({ write: { cpus: cores(given) } }),
  'step.limits.memory': size('memory', '4GB'),
  'step.limits.disk': size('disk', '10GB'),
  'cmd.run.cmd': (given) => ({
    write: { cmd: texts(given, 'echo hello').join('\n') },
    say: Array.isArray(given) ? 'it is one text; put each command on its own line after "cmd: |"' : undefined,
  }),
  'shell.run.script': (given) => ({
    write: { script: texts(given, 'echo hello').join('\n') },
    say: Array.isArray(given) ? 'it is one text; put its lines after "script: |"' : undefined,
  }),
  'file.write.path': () => ({ write: { path: '/tmp/note.txt' } }),
  'file.write.content': (given) => ({
    write: { content: given === undefined ? 'hello\n' : json(given) },
  }),
  'http.request.url': () => ({ write: { url: 'https://example.org/api' } }),
  'http.request.body': (given) => ({
    write: { body: json(given) },
    say: 'it is sent unchanged',
  }),
  'http.request.expect_status': (given) => ({ write: { expect_status: [count(given, 200, 600)] } }),
  'http.request.headers': () => ({ write: { headers: { accept: 'application/json' } } }),
  'vars.set.vars': (given) => ({ write: { vars: variables(given) } }),
  'agent.run.prompt': () => ({ write: { prompt: 'Make the tests pass' } }),
  'agent.run.verify': list('verify'),
  'agent.run.budget': (given) => ({ write: { budget: { seconds: seconds(given, 1800) } } }),
  'approval.wait.timeout_seconds': time,
  'workflow.run.inputs': (given) => ({ write: { inputs: variables(given) } }),
  'workflow.run.workflow': (given) => (asText(given) ? { write: { file: part(given) } } : undefined),
}

function mainArgument(action: unknown, given: unknown): Record<string, unknown> {
  const text = texts(given, 'echo hello').join('\n')
  if (action === 'shell.run') return { script: text }
  if (action === 'http.request') return { url: text === 'echo hello' ? 'https://example.org/api' : text }
  if (action === 'file.write') return { path: '/tmp/note.txt', content: 'hello\n' }
  if (action === 'vars.set') return { vars: variables(given) }
  if (action === 'agent.run') return { prompt: text === 'echo hello' ? 'Make the tests pass' : text }
  if (action === 'approval.wait') return { message: 'Deploy?' }
  return action === 'workflow.run' ? { file: 'part.yaml' } : { cmd: text }
}
