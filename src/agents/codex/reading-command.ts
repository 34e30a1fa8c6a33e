import { isAbsolute } from 'node:path'

export interface Reading {
  tool_kind: 'read' | 'search'
  /** Absolute paths that it reads; `..` is not resolved, since the links before it must be followed first. */
  paths: string[]
}

interface Reader {
  kind: Reading['tool_kind']
  /** Options without a value. */
  flags: RegExp
  /** Options whose value is the next word. */
  valued?: RegExp
  /** Whether its first word is a search pattern. */
  seeks?: true
}

const lineCount = /^-[nc]$/
/** Programs that with these options only read: they do not write, run a program or name another file. */
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

/** Matches a literal word of a shell, plain or in quotes, or an operator that joins two commands. */
const token = /[ \t]*(?:(?:([\w@%+:,./-]+)|'([^'\n]*)'|"([^"$`\\!\n]*)")(?=[ \t;|&]|$)|(&&|\|\||\||;))/y

/**
 * Returns the paths that a shell command reads, if it can do nothing but read. Returns undefined if it may do more or
 * cannot be parsed. Codex's own analysis of a command is only for display: it ignores everything after a pipe (`| tee
 * file`, `| xargs rm`).
 */
export function readingCommand(command: string, cwd: string): Reading | undefined {
  const commands = joinedCommands(command.trim())
  const readings = commands?.map(([program = '', ...args]) => reading(program, args))
  const paths: string[] = []
  for (const [index, each] of readings?.entries() ?? []) {
    if (each === undefined) return undefined
    // Later commands without a path read from the pipe.
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

/** Accepts only a sed that prints some lines, for which codex uses it; sed can also write and run programs. */
function readingSed([option, script = '', ...paths]: readonly string[]): Reading | undefined {
  if (option !== '-n' || !/^(\d+|\$)(,(\d+|\$))?p$/.test(script)) return undefined
  return paths.some((path) => path.startsWith('-')) ? undefined : { tool_kind: 'read', paths }
}

/** Splits a text into the words of each command; undefined if a shell would interpret a word. */
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
