import { parseArgs } from 'node:util'
import { ErrandError } from '../contract/errors.ts'
import { didYouMean } from '../engine/workflow-file/hints/did-you-mean.ts'

export interface OptionSpec {
  type: 'string' | 'boolean'
  /** Short form, one letter. */
  short?: string
  /** May be given several times; the value is then a list. */
  multiple?: boolean
  /** True for a boolean that takes an absolute path as its value, if one follows. */
  path?: true
  /** Placeholder for the value in the help, such as `DIR`. */
  value?: string
  help: string
}
export type Options = Readonly<Record<string, OptionSpec>>

export type Values<O extends Options> = {
  [K in keyof O]: O[K] extends { multiple: true }
    ? string[] | undefined
    : O[K] extends { path: true }
      ? string | true | undefined
      : O[K]['type'] extends 'boolean'
        ? boolean | undefined
        : string | undefined
}

export interface Command<O extends Options = Options> {
  summary: string
  /** Arguments that the command takes besides options, such as `<file|->`; `[x]` is optional. */
  args?: string
  options: O
  /** Lines shown below the options; at least one. */
  examples: readonly string[]
  /** Runs the command and resolves to its exit code. Throws `ErrandError`. */
  run(values: Values<O>, args: string[]): Promise<number>
}

/** Groups several commands under one word: `errand runs list`. */
export interface CommandGroup {
  summary: string
  /**
   * Command that runs for the word without a subcommand, with its own options and arguments:
   * `errand runner --group gpu`, `errand dispatch FILE`.
   */
  alone?: Command
  commands: Readonly<Record<string, Command>>
}

/** Types the values of `run` by the options, and erases those types for the table of commands. */
export const command = <const O extends Options>(spec: Command<O>): Command => spec as unknown as Command

export class UsageError extends ErrandError {
  constructor(message: string, hint?: string) {
    super('bad_request', message, hint === undefined ? {} : { hint })
    this.name = 'UsageError'
  }
}

/** Parses `argv` for a command. `name` is the command as typed, for messages. Throws `UsageError`. */
export function parseCommand(
  name: string,
  spec: Command,
  argv: string[],
): { values: Record<string, unknown>; args: string[] } {
  const options = { ...spec.options, help: { type: 'boolean', short: 'h', help: '' } } as const
  const { tokens } = parseArgs({ args: argv, options, strict: false, tokens: true, allowPositionals: true })
  const values: Record<string, unknown> = {}
  const args: string[] = []
  /** The option that a path may follow. */
  let path: { name: string; index: number } | undefined
  for (const token of tokens) {
    if (token.kind === 'positional' && path?.index === token.index - 1 && token.value.startsWith('/'))
      values[path.name] = token.value
    else if (token.kind === 'positional') args.push(token.value)
    if (token.kind !== 'option') continue
    const option = (options as Options)[token.name]
    if (option === undefined) throw unknownOption(name, token.rawName, options)
    if (option.path) {
      path = token
      values[token.name] = token.value ?? true
      continue
    }
    if (option.type === 'boolean' && token.value !== undefined) {
      throw new UsageError(
        `${token.rawName} of "errand ${name}" takes no value`,
        `write ${token.rawName} without a value`,
      )
    }
    const value = option.type === 'boolean' ? true : token.value
    if (value === undefined)
      throw new UsageError(
        `${token.rawName} of "errand ${name}" needs a value`,
        `write ${token.rawName} ${option.value ?? 'VALUE'}; ${helpHint(name)}`,
      )
    if (option.multiple) values[token.name] = [...((values[token.name] as string[]) ?? []), value]
    else values[token.name] = value
  }
  if (!values.help) checkArgs(name, spec, args)
  return { values, args }
}

/** Parses `argv` for a command and runs it. */
export async function runCommand(name: string, spec: Command, argv: string[]): Promise<number> {
  const { values, args } = parseCommand(name, spec, argv)
  if (values.help) {
    const { commandHelp } = await import('./command.ts')
    process.stdout.write(commandHelp(name, spec))
    return 0
  }
  try {
    return await spec.run(values as Values<Options>, args)
  } catch (error) {
    if (error instanceof UsageError && error.hint === undefined)
      throw new UsageError(error.message, helpHint(name))
    throw error
  }
}

const helpHint = (name: string): string => `run "errand ${name} --help" for its options`

function unknownOption(name: string, option: string, options: Options): UsageError {
  const known = Object.keys(options).map((option) => `--${option}`)
  const hint = didYouMean(option, known, helpHint(name))
  return new UsageError(`"errand ${name}" has no option ${option}`, hint)
}

function checkArgs(name: string, spec: Command, args: string[]): void {
  const argNames = spec.args?.split(' ') ?? []
  const least = argNames.filter((arg) => arg.startsWith('<')).length
  const most = argNames.some((arg) => arg.includes('...')) ? Infinity : argNames.length
  const usage = `errand ${name}${spec.args === undefined ? '' : ` ${spec.args}`}`
  if (args.length < least)
    throw new UsageError(`"errand ${name}" needs ${argNames[args.length]}`, `usage: ${usage}`)
  if (args.length > most) {
    // The value after a name may be a secret.
    const shown = args[most]!.replace(/=.*/s, '=…')
    const meant =
      shown.endsWith('=…') && Object.hasOwn(spec.options, 'var') ? `; did you mean --var ${shown}?` : ''
    throw new UsageError(`unexpected argument "${shown}"${meant}`, `usage: ${usage}`)
  }
}

const column = (rows: readonly (readonly [string, string])[]): string => {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('')
}

export function commandHelp(name: string, spec: Command): string {
  const options = Object.entries(spec.options).map(([option, { short, value, multiple, help }]) => {
    const left = `${short === undefined ? '    ' : `-${short}, `}--${option}${value === undefined ? '' : ` ${value}`}`
    return [left, multiple ? `${help} (may be repeated)` : help] as const
  })
  options.push(['-h, --help', 'Show this help'])
  return (
    `${spec.summary}\n\nUsage: errand ${name}${spec.args === undefined ? '' : ` ${spec.args}`} [options]\n\n` +
    `Options:\n${column(options)}\nExample${spec.examples.length > 1 ? 's' : ''}:\n` +
    spec.examples.map((example) => `  ${example}\n`).join('')
  )
}

export function groupHelp(name: string, group: CommandGroup): string {
  const rows = Object.entries(group.commands).map(
    ([sub, spec]) => [`${sub}${spec.args === undefined ? '' : ` ${spec.args}`}`, spec.summary] as const,
  )
  return `${group.summary}\n\nUsage: errand ${name} <command>\n\nCommands:\n${column(rows)}\nMore: errand ${name} <command> --help\n`
}

export function overview(commands: readonly (readonly [string, string])[]): string {
  return (
    `Errand runs work for you on machines you own.\n\nUsage: errand <command> [options]\n\nCommands:\n${column(commands)}\n` +
    'First step: save this as hello.yaml, then run "errand run hello.yaml":\n\n' +
    '  version: v0.1\n  name: hello\n  steps:\n    - name: greet\n      action: cmd.run\n      args: {cmd: echo "hello"}\n\n' +
    'More: errand <command> --help\n'
  )
}
