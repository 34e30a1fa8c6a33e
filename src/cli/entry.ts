import { renamed } from '../contract/routes/renamed.ts'
import { didYouMean } from '../engine/workflow-file/hints/did-you-mean.ts'
import { type CommandGroup, runCommand, UsageError } from './command.ts'
import type { Entry } from './commands.ts'
import { exitCodes, reportError } from './exit-codes.ts'

const helpWords = ['help', '--help', '-h']

type Commands = Readonly<Record<string, Entry>>

/** Finds and runs the command; its errors go to stderr. Resolves to the exit code. */
export async function dispatch(argv: string[], commands: Commands): Promise<number> {
  // A reader that has gone away (`errand runs list | head`, a closed terminal) is not our error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error
  })
  try {
    return await find(argv, commands)
  } catch (error) {
    return reportError(error, argv.includes('--json'))
  }
}

async function find(argv: string[], commands: Commands): Promise<number> {
  const [word, ...rest] = argv
  if (word === undefined || (helpWords.includes(word) && rest.length === 0))
    return await showOverview(commands)
  if (helpWords.includes(word)) return await find([...rest, '--help'], commands)
  const name = word === '--version' || word === '-v' ? 'version' : word
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (entry === undefined && Object.hasOwn(renamed.commands, word))
    throw new UsageError(`unknown command "${word}"`, `it is now: errand ${renamed.commands[word]}`)
  if (entry === undefined)
    throw unknown(`unknown command "${word}"`, word, Object.keys(commands), 'errand --help')
  const loaded = await entry.load()
  return 'commands' in loaded ? await findInGroup(name, loaded, rest) : await runCommand(name, loaded, rest)
}

async function findInGroup(name: string, group: CommandGroup, argv: string[]): Promise<number> {
  const [word, ...rest] = argv
  const { alone } = group
  const isHelp = word !== undefined && helpWords.includes(word)
  const found = word !== undefined && Object.hasOwn(group.commands, word) ? group.commands[word] : undefined
  // A word that is not a subcommand may be an argument of the command without one.
  const isOfAlone = word === undefined || word.startsWith('-') || alone?.args !== undefined
  if (alone && !found && !isHelp && isOfAlone) return await runCommand(name, alone, argv)
  if (word === undefined || isHelp) {
    const { commandHelp, groupHelp } = await import('./command.ts')
    if (alone) process.stdout.write(`${commandHelp(name, alone)}\n`)
    process.stdout.write(groupHelp(name, group))
    return word === undefined ? exitCodes.usage : 0
  }
  if (found === undefined) {
    throw unknown(
      `unknown command "${name} ${word}"`,
      word,
      Object.keys(group.commands),
      `errand ${name} --help`,
    )
  }
  return await runCommand(`${name} ${word}`, found, rest)
}

async function showOverview(commands: Commands): Promise<number> {
  const { overview } = await import('./command.ts')
  process.stdout.write(overview(Object.entries(commands).map(([name, { summary }]) => [name, summary])))
  return 0
}

const unknown = (message: string, word: string, known: string[], help: string): UsageError =>
  new UsageError(message, didYouMean(word, known, `run "${help}" for a list of commands`))
