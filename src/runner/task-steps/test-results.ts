import { createReadStream } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestFigures } from '../../contract/tasks/task-facts.ts'
import { globPattern, TimeGuard } from '../../platform/untrusted-input.ts'
import { contradiction, joinFigures, MAX_RESULT_BYTES } from '../../playbooks/results/figures.ts'
import { readResults } from '../../playbooks/results/read-results.ts'
import type { PlatformContext } from '../platform-steps/platform-step.ts'

/** Describes one command of a playbook that has ended. */
export interface EndedCommand {
  /** Name of its step. */
  name: string
  exitCode: number | undefined
  /** Globs of files below its folder. */
  artifacts: readonly string[]
  /** Folder of the command. */
  cwd: string
  /** Places that it could write to besides the workspace. */
  writable: readonly string[]
  /** File whose time marks the start of the command. */
  began: string
  /** File on the runner with its standard output. */
  stdout: string
}

export interface ReadTests {
  /** Test figures; undefined if nothing was found that reports tests. */
  figures?: TestFigures
  /** Sentences about the results. */
  notes: string[]
}

const MAX_LIST_BYTES = 8 * 1024 * 1024
const MAX_FILES = 200
const LIST_MS = 60_000
const COPY_MS = 60_000
const HEAD_BYTES = 64 * 1024
/** Matches the first words of TAP, whatever a program has written before them. */
const tap = /^(?:TAP version \d+|1\.\.\d+|(?:not )?ok\b)/m

/** Script that lists a limited number of files newer than the given one. It follows no symbolic link. */
const LIST = `find . -name .git -prune -o -name node_modules -prune -o -type f -newer "$1" -print0 2>/dev/null | head -c ${MAX_LIST_BYTES}`
const COPY = `head -c ${MAX_RESULT_BYTES + 1} -- "$1"`

/**
 * Reads the test figures of a command: from files that match its globs and that it has written, and from its standard
 * output if that is TAP. The files are found and read in the box; only bytes come out of it.
 */
export async function readTests(context: PlatformContext, ended: EndedCommand): Promise<ReadTests> {
  const { figures, notes } = await allFigures(context, ended)
  if (figures.length === 0) return { notes }
  const joined = figures.length === 1 ? figures[0]! : joinFigures(ended.name, figures)
  const against = ended.exitCode === undefined ? undefined : contradiction(ended.exitCode, joined)
  return { figures: joined, notes: against === undefined ? notes : [...notes, `${ended.name}: ${against}`] }
}

async function allFigures(
  context: PlatformContext,
  ended: EndedCommand,
): Promise<{ figures: TestFigures[]; notes: string[] }> {
  const figures: TestFigures[] = []
  const notes: string[] = []
  const take = async (file: string, name: string) => {
    const read = await readResults(createReadStream(file), name)
    if ('fault' in read) notes.push(read.fault)
    else {
      figures.push(read.figures)
      notes.push(...read.notes.map((note) => `${name}: ${note}`))
    }
  }
  for (const path of await named(context, ended, notes)) {
    const file = join(context.folder, 'result')
    const copied = await context.boxed({
      argv: ['/bin/sh', '-c', COPY, 'sh', `./${path}`],
      cwd: ended.cwd,
      stdout: { file },
      timeout_ms: COPY_MS,
      offline: true,
      writable: ended.writable,
    })
    if (copied.type === 'exited' && copied.code === 0) await take(file, path)
    else notes.push(`${path} could not be read.`)
  }
  if (figures.length === 0 && tap.test(await headOf(ended.stdout))) await take(ended.stdout, ended.name)
  return { figures, notes }
}

/** Returns the files that match the globs, by path. */
async function named(
  context: PlatformContext,
  { artifacts, cwd, began, name, writable }: EndedCommand,
  notes: string[],
): Promise<string[]> {
  if (artifacts.length === 0) return []
  const file = join(context.folder, 'files')
  await context.boxed({
    argv: ['/bin/sh', '-c', LIST, 'sh', began],
    cwd,
    stdout: { file },
    timeout_ms: LIST_MS,
    offline: true,
    writable,
    readable: [began],
  })
  const paths = (await readFile(file, 'utf8')).split('\0').slice(0, -1)
  const relative = paths.map((path) => path.replace(/^\.\//, '')).filter((path) => /\.(xml|tap)$/i.test(path))
  try {
    const found = new TimeGuard().run(() => {
      const patterns = artifacts.map(globPattern)
      return relative.filter((path) => patterns.some((pattern) => pattern.test(path)))
    })
    if (found.length > MAX_FILES)
      notes.push(`${name}: only ${MAX_FILES} of ${found.length} result files are read.`)
    return found.sort().slice(0, MAX_FILES)
  } catch (error) {
    notes.push(`${name}: its result files cannot be searched: ${(error as Error).message}.`)
    return []
  }
}

async function headOf(path: string): Promise<string> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}
