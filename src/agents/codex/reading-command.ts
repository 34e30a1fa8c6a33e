import { isAbsolute } from 'node:path'

export interface Reading {
  tool_kind: 'read' | 'search'
  /** All that it reads: absolute, each `..` left to who follows the links before it. */
  paths: string[]
}

interface Reader {
  kind: Reading['tool_kind']
  /** Options that stand alone. */
  flags: RegExp
  /** Options whose value is the next word. */
  valued?: RegExp
  /** Its first word is what it looks for. */
  seeks?: true
}

const lineCount = /^-[nc]$/
/** Programs that can do nothing but read with these options: none writes, runs a program or names a further file. */
const readers: Record<string, Reader> = {
  cat: { kind: 'read', flags: /^-[AbEenstTuv]+$/ },
  head: { kind: 'read', flags: /^-(\d+|[nc]\d+|[qv])$/, valued: lineCount },
  tail: { kind: 'read', flags: /^-(\d+|[nc]\d+|[qv])$/, valued: lineCount },
  nl: { kind: 'read', flags: /^-b[atn]$/ },
  wc: { kind: 'read', flags: /^-[cmlLw]+$/ },
  ls: { kind: 'search', flags: /^-[AaCdFGghiklmnopqRrSstUuXx1]+$/ },
  grep: { kind: 'search', flags: /^-[EFGPHhIiLlnorRsvwxcq]+$/, valued: /^-[nirRwEFH]*[ABCm]$/, seeks: true },
  rg: {
    kind: 'search',
    flags: /^(-[FHIiLlnoPsSuvwxcqU]+|--hidden)$/,
    valued: /^-[niSwFl]*[ABCmgtT]$/,
    seeks: true,
  },
}

/** A word that means itself to a shell, one in quotes of which the same is true, or what joins two commands. */
const token = /[ \t]*(?:(?:([\w@%+:,./-]+)|'([^'\n]*)'|"([^"$`\\!\n]*)")(?=[ \t;|&]|$)|(&&|\|\||\||;))/y

/**
 * The paths that a shell command reads, where reading is all that it can do. Undefined: it may do more, or is
 * not understood. Codex tells its own reading of a command, but for show: it leaves out what stands behind a
 * pipe (`| tee file`, `| xargs rm`).
 */
export function readingCommand(command: string, cwd: string): Reading | undefined {
  const commands = joinedCommands(command.trim())
  const readings = commands?.map(([program = '', ...args]) => reading(program, args))
  const paths: string[] = []
  for (const [index, each] of readings?.entries() ?? []) {
    if (each === undefined) return undefined
    // Further ones without a path read what comes through a pipe.
    if (each.paths.length === 0 && (index === 0 || each.tool_kind === 'search')) paths.push(cwd)
    paths.push(...each.paths.map((path) => (isAbsolute(path) ? path : `${cwd}/${path}`)))
  }
  if (readings === undefined) return undefined
  const reads = readings.every((each) => each?.tool_kind === 'read')
  return { tool_kind: reads ? 'read' : 'search', paths: [...new Set(paths)] }
}

function reading(program: string, args: readonly string[]): Reading | undefined {
  if (program === 'sed') return readingSed(args)
  const reader = Object.hasOwn(readers, program) ? readers[program] : undefined
  if (reader === undefined) return undefined
  const rest: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!
    if (!arg.startsWith('-')) rest.push(arg)
    else if (reader.valued?.test(arg)) at++
    else if (!reader.flags.test(arg)) return undefined
  }
  return { tool_kind: reader.kind, paths: reader.seeks ? rest.slice(1) : rest }
}

/**
 * The reading of a sed that prints some lines, which is what codex uses it for; sed can write and run
 * programs as well.
 */
function readingSed([option, script = '', ...paths]: readonly string[]): Reading | undefined {
  if (option !== '-n' || !/^(\d+|\$)(,(\d+|\$))?p$/.test(script)) return undefined
  return paths.some((path) => path.startsWith('-')) ? undefined : { tool_kind: 'read', paths }
}

/** The words of each; undefined where a shell would make something else of them. */
function joinedCommands(text: string): string[][] | undefined {
  const commands: string[][] = [[]]
  token.lastIndex = 0
  for (let at = 0; at < text.length; at = token.lastIndex) {
    const match = token.exec(text)
    if (match === null) return undefined
    const [, bare, single, double, joint] = match
    if (joint !== undefined) commands.push([])
    else commands.at(-1)!.push(bare ?? single ?? double ?? '')
  }
  return commands
}
