import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import * as z from 'zod'
import { TimeGuard } from '../../../platform/untrusted-input.ts'
import { filesBelow, globPattern } from './list-files.ts'
import { isBinary, openRegular, WHOLE_FILE_BYTES } from './read-file.ts'
import { defineTool, OUTPUT_BYTES, ToolError, type ToolResult, type Work } from './tool.ts'

const MOST_MATCHES = 200
const SHOWN_CHARS = 300
const FILES_AT_ONCE = 16
const CHARS_AT_ONCE = 1_000_000

const Args = z.object({
  pattern: z.string().min(1).max(1000).describe('A JavaScript regular expression, tested on each line'),
  path: z.string().min(1).default('.').describe('The folder, or one file'),
  glob: z.string().min(1).optional().describe('Only in these files, e.g. *.ts or src/**/*.{js,css}'),
  ignore_case: z.boolean().default(false),
})

export const search = defineTool({
  name: 'search',
  kind: 'search',
  description: 'Finds lines that match a pattern, in text files that git does not ignore: path:line: text.',
  args: Args,
  title: ({ pattern, path }) => `Search ${pattern} in ${path}`,
  paths: ({ path }) => [path],
  async run({ pattern, glob, ignore_case }, work) {
    const real = work.paths[0]!
    const guard = new TimeGuard()
    const expression = regExp(pattern, ignore_case ? 'i' : '')
    const one = !(await stat(real)).isDirectory()
    const folder = one ? dirname(real) : real
    let files = one ? [basename(real)] : await filesBelow(real, work)
    if (glob !== undefined) {
      const fits = globPattern(glob)
      files = guard.run(() => files.filter((file) => fits.test(file)))
    }
    return await matchesIn(folder, files, expression, guard, work)
  },
})

function regExp(pattern: string, flags: string): RegExp {
  try {
    return new RegExp(pattern, flags)
  } catch (error) {
    throw new ToolError((error as Error).message)
  }
}

async function matchesIn(
  folder: string,
  files: readonly string[],
  expression: RegExp,
  guard: TimeGuard,
  { signal }: Work,
): Promise<ToolResult> {
  const found: string[] = []
  const shows = new Set<string>()
  let [bytes, large] = [0, 0]
  let full = false
  for (let at = 0; at < files.length && !full; at += FILES_AT_ONCE) {
    signal.throwIfAborted()
    const group = files.slice(at, at + FILES_AT_ONCE)
    const texts = await Promise.all(group.map((name) => searchable(join(folder, name))))
    large += texts.filter((text) => text === 'too_large').length
    const chars = texts.reduce((sum, text) => sum + contentOf(text).length, 0)
    const fitting = (text: Searchable) => fittingLines(contentOf(text), expression)
    // Each guarded call costs a thread.
    const all =
      chars <= CHARS_AT_ONCE
        ? guard.run(() => texts.map(fitting))
        : texts.map((text) => guard.run(() => fitting(text)))
    for (const [index, lines] of all.entries()) {
      for (const { line, number } of lines) {
        const shown = `${group[index]}:${number}: ${line}`
        bytes += Buffer.byteLength(shown) + 1
        full ||= found.length >= MOST_MATCHES || bytes > OUTPUT_BYTES
        if (full) break
        found.push(shown)
        shows.add(join(folder, group[index]!))
      }
    }
  }
  const notes = [
    ...(found.length === 0 ? [`(nothing in ${files.length} files)`] : []),
    ...(full ? ['… (there is more; make the pattern or the files narrower)'] : []),
    ...(large > 0 ? [`(left out: ${large} files over ${WHOLE_FILE_BYTES / 1024 / 1024} MiB)`] : []),
  ]
  return { output: [...found, ...notes].join('\n'), shows: [...shows] }
}

/** Content to search; undefined for a file that is binary, gone or unreadable. */
type Searchable = { content: string } | 'too_large' | undefined

const contentOf = (text: Searchable): string => (typeof text === 'object' ? text.content : '')

async function searchable(path: string): Promise<Searchable> {
  try {
    const { file, stat } = await openRegular(path)
    try {
      if (stat.size > WHOLE_FILE_BYTES) return 'too_large'
      return (await isBinary(file)) ? undefined : { content: await file.readFile('utf8') }
    } finally {
      await file.close()
    }
  } catch {
    return undefined
  }
}

function fittingLines(content: string, expression: RegExp): { line: string; number: number }[] {
  const found: { line: string; number: number }[] = []
  for (const [index, whole] of content.split('\n').entries()) {
    const line = whole.endsWith('\r') ? whole.slice(0, -1) : whole
    if (!expression.test(line)) continue
    found.push({
      line: line.length > SHOWN_CHARS ? `${line.slice(0, SHOWN_CHARS)}…` : line,
      number: index + 1,
    })
    if (found.length > MOST_MATCHES) break
  }
  return found
}
