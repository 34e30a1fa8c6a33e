import { ErrandError } from '../contract/errors.ts'
import { Playbook } from '../contract/tasks/playbook.ts'
import { type DetectedTests, findTests, type ReadFile } from './found.ts'
import {
  checkPlaybooks,
  MAX_PLAYBOOK_BYTES,
  type PlaybookSource,
  parsePlaybooks,
  validPlaybooks,
} from './parse.ts'

/** The fields of a task that say how it is tested. */
export interface TestsOfTask {
  /** A playbook as an unchecked value. */
  playbook?: unknown
  playbook_path?: string
  test_commands?: readonly string[]
  /** Only for `test_commands`; default true. */
  fail_fast?: boolean
  required_skill?: string
  /** Longest time of a command of `test_commands`, or of a detected one, in seconds; default 1800. */
  timeout_seconds?: number
}

export interface PlaybookPlaces {
  /** Reads the repository at the commit that the agent begins with, never what the agent made of it. */
  repository: ReadFile
  /** Reads the hub's folder of playbooks, for `playbook_path`. */
  hubFolder?: ReadFile
  /** The hub's playbooks, in their order. */
  hub?: readonly Playbook[]
}

export interface ChosenPlaybook {
  /** Absent when nothing says how to test. */
  playbook?: Playbook
  source: 'task' | 'playbook_path' | 'test_commands' | 'repository' | 'hub' | 'found' | 'none'
  /** A sentence that says which playbook was chosen, and why. Without a playbook it begins with `Tests: none`. */
  why: string
  /** Other playbooks that were found and not used, each a sentence. */
  notes: string[]
}

const repositoryFiles: readonly PlaybookSource[] = [
  { file: '.errand/playbook.yaml', form: 'own' },
  { file: 'errand.yaml', form: 'part' },
]

/**
 * Chooses the playbook of a task, in this order: its own, its `test_commands`, the repository's, the hub's, or what the
 * repository's files show; the first one of several. Throws `invalid_playbook` for one that has mistakes or does not
 * exist, because a task without known tests must not begin.
 */
export async function choosePlaybook(task: TestsOfTask, places: PlaybookPlaces): Promise<ChosenPlaybook> {
  const notes: string[] = []
  const chosen =
    (await ofTask(task, places, notes)) ??
    ofCommands(task) ??
    (await ofRepository(task, places, notes)) ??
    ofHub(task, places, notes) ??
    ofFound(task, await findTests(places.repository), notes)
  if (task.test_commands?.length && ['task', 'playbook_path'].includes(chosen.source))
    notes.push('test_commands of the task are not used.')
  return { ...chosen, notes }
}

type Choice = Omit<ChosenPlaybook, 'notes'>

async function ofTask(
  { playbook, playbook_path, required_skill }: TestsOfTask,
  places: PlaybookPlaces,
  notes: string[],
): Promise<Choice | undefined> {
  if (playbook !== undefined) {
    if (playbook_path !== undefined) notes.push(`playbook_path (${playbook_path}) of the task is not used.`)
    const all = validPlaybooks(checkPlaybooks(playbook, { file: 'playbook of the task' }))
    const one = only(all, required_skill, 'playbook of the task', notes)
    return { playbook: one, source: 'task', why: `Playbook "${one.name}" from the task itself.` }
  }
  if (playbook_path === undefined) return undefined
  const { file, where, bytes } = await fileAt(playbook_path, places)
  const all = validPlaybooks(parsePlaybooks(bytes, { file }))
  const one = only(all, required_skill, file, notes)
  return {
    playbook: one,
    source: 'playbook_path',
    why: `Playbook "${one.name}" from ${file} ${where}, because playbook_path of the task names it.`,
  }
}

async function fileAt(
  path: string,
  { repository, hubFolder }: PlaybookPlaces,
): Promise<{ file: string; where: string; bytes: Uint8Array }> {
  const file = path.replace(/^(\.\/+)+/, '')
  const parts = file.split('/')
  const shown = JSON.stringify(path)
  if (
    /[\0\\]/.test(file) ||
    parts.some((part) => ['', '.', '..'].includes(part) || part.toLowerCase() === '.git')
  )
    throw new ErrandError('invalid_playbook', `playbook_path ${shown} is not a path in the repository.`, {
      hint: 'Write it relative to the root of the repository, such as ci/playbook.yaml.',
    })
  const limit = MAX_PLAYBOOK_BYTES + 1
  const inRepository = await repository(file, limit)
  if (inRepository) return { file, where: 'in the repository', bytes: inRepository }
  const inHub = await hubFolder?.(file, limit)
  if (inHub) return { file, where: "in the hub's folder", bytes: inHub }
  throw new ErrandError(
    'invalid_playbook',
    `playbook_path ${shown} not found: the commit that the task starts from has no such file${hubFolder ? ", nor does the hub's folder of playbooks" : ''}.`,
    { hint: 'Commit the file to the base branch, or remove playbook_path.' },
  )
}

/**
 * Chooses from a file that the task names itself; a playbook for another skill is used only when there is no better
 * one.
 */
function only(all: readonly Playbook[], skill: string | undefined, file: string, notes: string[]): Playbook {
  const one = fitting(all, skill)[0] ?? all[0]
  if (one === undefined)
    throw new ErrandError('invalid_playbook', `${file} contains no playbook.`, {
      hint: 'Write one with name: and steps:.',
    })
  noteOthers(all, one, file, notes)
  return one
}

/** Returns the playbooks for the skill, then those for any. */
function fitting(all: readonly Playbook[], skill: string | undefined): Playbook[] {
  return [
    ...all.filter(({ required_skill }) => required_skill !== undefined && required_skill === skill),
    ...all.filter(({ required_skill }) => required_skill === undefined),
  ]
}

function noteOthers(all: readonly Playbook[], used: Playbook, file: string, notes: string[]): void {
  const others = all.filter((one) => one !== used).map(({ name }) => `"${name}"`)
  if (others.length > 0) notes.push(`Not used from ${file}: ${others.slice(0, 20).join(', ')}.`)
}

function ofCommands(task: TestsOfTask): Choice | undefined {
  const commands = task.test_commands ?? []
  if (commands.length === 0) return undefined
  const steps = commands.map((command) => ({
    name: nameOf(command),
    command,
    fail_fast: task.fail_fast ?? true,
    timeout_seconds: timeOf(task),
  }))
  const [playbook] = validPlaybooks(
    checkPlaybooks({ name: 'test_commands', steps }, { file: 'test_commands of the task' }),
  )
  return {
    playbook,
    source: 'test_commands',
    why: `${commands.length === 1 ? 'One command' : `${commands.length} commands`}, from test_commands of the task.`,
  }
}

const timeOf = ({ timeout_seconds = 1800 }: TestsOfTask): number => Math.min(timeout_seconds, 86_400)

/** Makes a name for people from the first line of a command. */
function nameOf(command: string): string {
  const line = (command.trim().split('\n', 1)[0] ?? '').replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/gu,
    ' ',
  )
  const characters = [...line.trim()]
  const short = characters.length > 80 ? `${characters.slice(0, 79).join('').trim()}…` : characters.join('')
  return short === '' ? 'command' : short
}

const forSkill = (skill: string | undefined, { required_skill }: Playbook): string =>
  required_skill === undefined
    ? skill === undefined
      ? ''
      : `, which has no playbook for the skill "${skill}" but has this one for any task`
    : `, because the task requires the skill "${required_skill}"`

async function ofRepository(
  { required_skill: skill }: TestsOfTask,
  { repository }: PlaybookPlaces,
  notes: string[],
): Promise<Choice | undefined> {
  let chosen: Choice | undefined
  for (const source of repositoryFiles) {
    const bytes = await repository(source.file, MAX_PLAYBOOK_BYTES + 1)
    if (bytes === undefined) continue
    const all = validPlaybooks(parsePlaybooks(bytes, source))
    if (all.length === 0) continue
    if (chosen) {
      notes.push(`Not used from ${source.file}: ${all.map(({ name }) => `"${name}"`).join(', ')}.`)
      continue
    }
    const [one] = fitting(all, skill)
    if (one === undefined) {
      notes.push(`${source.file} only has playbooks for other skills: ${skillsOf(all)}.`)
      continue
    }
    noteOthers(all, one, source.file, notes)
    const why = `Playbook "${one.name}" from ${source.file} in the repository${forSkill(skill, one)}.`
    chosen = { playbook: one, source: 'repository', why }
  }
  return chosen
}

const skillsOf = (all: readonly Playbook[]): string =>
  [...new Set(all.map(({ required_skill }) => required_skill))].slice(0, 20).join(', ')

function ofHub(
  { required_skill: skill }: TestsOfTask,
  { hub = [] }: PlaybookPlaces,
  notes: string[],
): Choice | undefined {
  const [one, ...others] = fitting(hub, skill)
  if (one === undefined) return undefined
  if (others.length > 0)
    notes.push(
      `Not used from the hub's playbooks: ${others
        .slice(0, 20)
        .map(({ name }) => `"${name}"`)
        .join(', ')}.`,
    )
  return {
    playbook: one,
    source: 'hub',
    why: `Playbook "${one.name}" from the hub${forSkill(skill, one)}; the repository has no matching playbook.`,
  }
}

function ofFound(task: TestsOfTask, { tests, notes: seen }: DetectedTests, notes: string[]): Choice {
  notes.push(...seen)
  const [first, ...others] = tests
  if (first === undefined)
    return {
      source: 'none',
      why: 'Tests: none. The task names no playbook and no test_commands, and the repository shows no way to test it.',
    }
  for (const { command, because } of others) notes.push(`Not used: ${command}, although ${because}.`)
  const timeout_seconds = timeOf(task)
  const setup = first.setup
    ? [{ name: first.setup, command: first.setup, phase: 'setup', allow_failure: true, timeout_seconds }]
    : []
  const steps = [...setup, { name: first.command, command: first.command, timeout_seconds }]
  return {
    playbook: Playbook.parse({ name: 'found', steps }),
    source: 'found',
    why: `Found: ${first.command}, because ${first.because}; there is no playbook.`,
  }
}
