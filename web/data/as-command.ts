import type { RetryRun } from '../../src/contract/runs/retry.ts'

/** Filter of the list, as in the page's address. */
type Filter = Readonly<Record<string, string | undefined>>

/** Something that a person can do on the page and that the command line may be able to do too. */
export type Action =
  | { do: 'cancel'; run: string; force?: boolean }
  | { do: 'approve' | 'reject'; run: string; step: string; comment?: string | undefined }
  | {
      do: 'answer'
      run: string
      request: string
      attempt?: number | undefined
      answer: 'allow'
      forSession?: boolean
    }
  | {
      do: 'answer'
      run: string
      request: string
      attempt?: number | undefined
      answer: 'deny'
      reason?: string | undefined
    }
  | { do: 'retry'; run: string; asked: RetryRun }
  | { do: 'rollback'; run: string }
  | {
      do: 'start'
      yaml: string
      vars: Record<string, string>
      secrets?: readonly string[]
      repository?: string | undefined
    }
  | { do: 'bulk'; action: 'cancel' | 'retry'; filter: Filter }
  | { do: 'each'; action: 'cancel' | 'retry'; runs: readonly string[] }
  | { do: 'log'; run: string; step?: string; attempt?: number; stream?: string }
  | { do: 'artifact'; run: string; name: string }
  | { do: 'diff'; of: 'runs' | 'sessions' | 'task'; id: string; commit?: number | undefined }
  | { do: 'artifacts'; run: string; folder?: string }
  | { do: 'drain' | 'resume'; runner: string }
  | { do: 'remove'; runner: string; force?: boolean }
  | { do: 'enrol-token'; group: string }
  | {
      do: 'ask'
      run?: string
      prompt: string
      agent?: string | undefined
      model?: string | undefined
      repo?: string | undefined
      ref?: string | undefined
      permissions?: string | undefined
      /** Names of files in the folder where the command runs. */
      attach?: readonly string[]
    }
  | { do: 'task-cancel' | 'task-delete'; task: string }
  | { do: 'task-approve' | 'task-reject'; task: string; comment?: string | undefined }
  | { do: 'task-retry'; task: string; from?: string | undefined; prompt?: string | undefined }
  | { do: 'task-prompt'; task: string; prompt: string }
  | { do: 'task-follow'; task: string; follow: boolean }
  | {
      do: 'task-run'
      issue?: string
      title?: string | undefined
      description?: string | undefined
      repo?: string | undefined
      ref?: string | undefined
      agent?: string | undefined
      model?: string | undefined
      criteria: readonly string[]
      tests: readonly string[]
      plan?: boolean
    }

/** Quotes any text as one word of a POSIX shell. */
export function shellWord(text: string): string {
  // A program's arguments cannot contain NUL characters.
  const plain = text.replaceAll('\0', '')
  if (/^[A-Za-z0-9_@%+:,./-]+$/.test(plain)) return plain
  return `'${plain.replaceAll("'", `'\\''`)}'`
}

interface Words {
  of: readonly string[]
  args?: readonly string[]
  options?: readonly string[]
}

/** Returns the words of an option; a value that begins with a dash stays a value. */
const option = (name: string, value: string | number | undefined): string[] => {
  if (value === undefined || value === '') return []
  const text = shellWord(String(value))
  return [text.startsWith('-') || String(value).startsWith('-') ? `--${name}=${text}` : `--${name} ${text}`]
}
const flag = (name: string, on: boolean | undefined): string[] => (on ? [`--${name}`] : [])

type Plain = Exclude<Action, { do: 'start' | 'each' | 'bulk' | 'log' | 'artifact' }>

function wordsOf(action: Plain): Words {
  switch (action.do) {
    case 'cancel':
      return { of: ['runs', 'cancel'], args: [action.run], options: flag('force', action.force) }
    case 'approve':
    case 'reject':
      return { of: [action.do], args: [action.run, action.step], options: option('comment', action.comment) }
    case 'answer':
      return {
        of: ['agents', 'answer'],
        args: [action.run, action.request, action.answer],
        options: [
          ...option('attempt', action.attempt),
          ...(action.answer === 'allow'
            ? flag('for-session', action.forSession)
            : option('reason', action.reason)),
        ],
      }
    case 'retry':
      return { of: ['runs', 'retry'], args: [action.run], options: retryOptions(action.asked) }
    case 'rollback':
      return { of: ['runs', 'rollback'], args: [action.run] }
    case 'diff':
      return { of: [action.of, 'diff'], args: [action.id], options: option('commit', action.commit) }
    case 'artifacts':
      return { of: ['runs', 'artifacts'], args: [action.run], options: option('all', action.folder) }
    case 'drain':
    case 'resume':
      return { of: ['runners', action.do], args: [action.runner] }
    case 'remove':
      return { of: ['runners', 'remove'], args: [action.runner], options: flag('force', action.force) }
    case 'enrol-token':
      return { of: ['runners', 'enroll-token'], options: option('group', action.group) }
    case 'ask': {
      const { run, agent, model, repo, ref, permissions, attach = [] } = action
      return {
        of: ['agent', '--hub', '--detach'],
        args: [action.prompt],
        options: [
          ...Object.entries({ continue: run, agent, model, repo, ref, permissions }).flatMap(
            ([name, value]) => option(name, value),
          ),
          ...attach.flatMap((name) => option('attach', name)),
        ],
      }
    }
    case 'task-cancel':
    case 'task-delete':
      return { of: ['task', action.do.slice('task-'.length)], args: [action.task] }
    case 'task-approve':
    case 'task-reject':
      return {
        of: ['task', action.do.slice('task-'.length)],
        args: [action.task],
        options: option('comment', action.comment),
      }
    case 'task-retry':
      return {
        of: ['task', 'retry'],
        args: [action.task],
        options: [...option('from', action.from), ...option('prompt', action.prompt)],
      }
    case 'task-prompt':
      return { of: ['task', 'prompt'], args: [action.task, action.prompt] }
    case 'task-follow':
      return { of: ['task', 'follow'], args: [action.task, ...(action.follow ? [] : ['off'])] }
    case 'task-run': {
      const { title, description, repo, ref, agent, model, criteria, tests, plan } = action
      const each = (name: string, values: readonly string[]) => values.flatMap((value) => option(name, value))
      return {
        of: ['task', 'run', '--detach'],
        args: action.issue === undefined ? [] : [action.issue],
        options: [
          ...Object.entries({ title, description, repo, ref, agent, model }).flatMap(([name, value]) =>
            option(name, value),
          ),
          ...[...each('criterion', criteria), ...each('test', tests), ...flag('plan', plan)],
        ],
      }
    }
  }
}

function retryOptions({ only, from, step, hosts, instances, run_anyway, skip }: RetryRun): string[] {
  const each = (name: string, values: readonly (string | number)[] | undefined) =>
    (values ?? []).flatMap((value) => option(name, value))
  return [
    ...flag('failed', only === 'failed'),
    ...[...option('from', from), ...option('step', step), ...each('host', hosts)],
    ...[...each('instance', instances), ...each('run-anyway', run_anyway), ...each('skip', skip)],
  ]
}

const known = /^(?:kind|status|user|workflow|since|until|needs|input\.\w+)$/

/** Returns a list's filter as words for `--filter`, or undefined if they cannot express it. */
function filterWords(filter: Filter): string | undefined {
  const words: string[] = []
  for (const [name, value] of Object.entries(filter)) {
    if (value === undefined || value === '') continue
    if (name === 'q' && !value.includes(':')) words.push(value)
    else if (known.test(name) && !/\s/.test(value)) words.push(`${name}:${value}`)
    else return undefined
  }
  return words.length === 0 ? undefined : words.join(' ')
}

/** Builds a command line. Arguments that could be mistaken for options follow a `--`. */
function line({ of, args = [], options = [] }: Words): string {
  const isOdd = args.some((one) => one.startsWith('-'))
  const pairs = args.map(shellWord)
  return ['errand', ...of, ...(isOdd ? [...options, '--', ...pairs] : [...pairs, ...options])].join(' ')
}

/**
 * Returns the command that does the same, for pasting into a POSIX shell. It contains no secret: it reads secrets
 * from the shell's environment. Returns undefined if the command line cannot do it.
 */
export function asCommand(action: Action): string | undefined {
  switch (action.do) {
    case 'each':
      return action.runs.map((run) => asCommand(eachOf(action.action, run))).join('\n')
    case 'bulk': {
      const words = filterWords(action.filter)
      const failed = flag('failed', action.action === 'retry')
      if (words === undefined) return undefined
      return line({ of: ['runs', action.action], options: [...failed, ...option('filter', words)] })
    }
    case 'log': {
      const { run, step, attempt, stream } = action
      if (attempt === undefined)
        return line({ of: ['runs', 'logs'], args: [run], options: option('step', step) })
      const options = [...option('attempt', attempt), ...option('stream', stream)]
      const file = `${run}-${attempt}-${stream ?? 'stdout'}.log`
      return `${line({ of: ['runs', 'logs'], args: [run], options })} > ${shellWord(file)}`
    }
    case 'artifact': {
      const file = action.name.split('/').at(-1)!
      return line({
        of: ['runs', 'artifacts'],
        args: [action.run, action.name],
        options: option('output', file),
      })
    }
    case 'start': {
      const { yaml, vars, secrets = [], repository } = action
      const options = Object.entries(vars).flatMap(([name, value]) => option('var', `${name}=${value}`))
      const hidden = secrets.map((name) => `--var ${name}="$${name}"`)
      const head = line({
        of: ['run', '-', '--hub'],
        options: [...option('repository', repository), ...options, ...hidden],
      })
      let end = 'YAML'
      while (yaml.split('\n').includes(end)) end += '_'
      return `${head} <<'${end}'\n${yaml.replaceAll('\0', '').replace(/\n*$/, '\n')}${end}`
    }
    default:
      return line(wordsOf(action))
  }
}

const eachOf = (action: 'cancel' | 'retry', run: string): Action =>
  action === 'cancel' ? { do: 'cancel', run } : { do: 'retry', run, asked: { only: 'failed' } }
