import { asMap, asText, entriesOf, own } from '../engine/workflow-file/loose-values.ts'

/**
 * Reads a file of the repository as it was before an agent worked, by its path from the root: at least its first
 * `maxBytes`, or undefined when there is no regular file. A path never follows a symbolic link.
 */
export type ReadFile = (path: string, maxBytes: number) => Promise<Uint8Array | undefined>

/** A way to test that a repository's own files show. */
export interface FoundTests {
  command: string
  /** Installs what the command needs; if it fails, the tests will show that. */
  setup?: string
  /** The evidence, such as `package.json has a script "test"`. */
  because: string
}

export interface DetectedTests {
  tests: FoundTests[]
  /** Files that were examined and not used, each a sentence. */
  notes: string[]
}

const MAX_BYTES = 1024 * 1024

/** Finds out how a repository is tested; the first result is the one to use. */
export async function findTests(read: ReadFile): Promise<DetectedTests> {
  const notes: string[] = []
  const files = new Files(read, notes)
  const tests: FoundTests[] = []
  for (const look of [nodeTests, makeTests, pythonTests, goTests, rustTests]) {
    const found = await look(files)
    if (found) tests.push(found)
  }
  return { tests, notes }
}

class Files {
  readonly #read: ReadFile
  readonly notes: string[]

  constructor(read: ReadFile, notes: string[]) {
    this.#read = read
    this.notes = notes
  }

  async has(path: string): Promise<boolean> {
    return (await this.#read(path, 1)) !== undefined
  }

  async first(paths: readonly string[]): Promise<string | undefined> {
    for (const path of paths) if (await this.has(path)) return path
    return undefined
  }

  /** Returns the beginning of a file, as text. */
  async start(path: string, bytes: number): Promise<string | undefined> {
    const found = await this.#read(path, bytes)
    return found && new TextDecoder().decode(found.subarray(0, bytes))
  }

  /** Returns a whole file, as text; a file that is too large is not used. */
  async text(path: string): Promise<string | undefined> {
    const found = await this.#read(path, MAX_BYTES + 1)
    if (found === undefined) return undefined
    if (found.length <= MAX_BYTES) return new TextDecoder().decode(found)
    this.notes.push(`${path} is larger than 1 MiB and was not read.`)
    return undefined
  }
}

interface NodeTool {
  name: string
  locks: readonly string[]
  test: string
  install: string
}

const nodeTools: readonly NodeTool[] = [
  { name: 'npm', locks: ['package-lock.json', 'npm-shrinkwrap.json'], test: 'npm test', install: 'npm ci' },
  {
    name: 'pnpm',
    locks: ['pnpm-lock.yaml'],
    test: 'pnpm test',
    install: 'pnpm install --frozen-lockfile',
  },
  { name: 'yarn', locks: ['yarn.lock'], test: 'yarn test', install: 'yarn install --frozen-lockfile' },
  {
    name: 'bun',
    locks: ['bun.lock', 'bun.lockb'],
    test: 'bun run test',
    install: 'bun install --frozen-lockfile',
  },
]

/** Matches the script that `npm init` writes. */
const placeholder = /^\s*echo\s+\\?["']?Error: no test specified\\?["']?\s*&&\s*exit\s+1\s*$/

async function nodeTests(files: Files): Promise<FoundTests | undefined> {
  const text = await files.text('package.json')
  if (text === undefined) return undefined
  let content: unknown
  try {
    content = JSON.parse(text.replace(/^\ufeff/, ''))
  } catch {
    files.notes.push('package.json is not valid JSON.')
    return undefined
  }
  const script = asText(own(own(content, 'scripts'), 'test'))
  if (script === undefined || script.trim() === '') {
    files.notes.push('package.json has no script "test".')
    return undefined
  }
  if (placeholder.test(script)) {
    files.notes.push('The script "test" of package.json is the default from npm init, which tests nothing.')
    return undefined
  }
  const { tool, lock, because } = await nodeTool(files, content)
  const needs = ['dependencies', 'devDependencies', 'optionalDependencies', 'workspaces'].some(
    (key) => entriesOf(own(content, key)).length > 0 || Array.isArray(own(content, key)),
  )
  const setup = needs ? await installOf(files, tool, lock) : undefined
  return {
    command: tool.test,
    ...(setup === undefined ? {} : { setup }),
    because: `package.json has a script "test"${because}`,
  }
}

/** Returns the tool that a lock file names; of several the one that `packageManager` names, else the first. */
async function nodeTool(
  files: Files,
  content: unknown,
): Promise<{ tool: NodeTool; lock?: string; because: string }> {
  const named = /^([a-z]+)@/.exec(asText(own(asMap(content), 'packageManager')) ?? '')?.[1]
  const locked: { tool: NodeTool; lock: string }[] = []
  for (const tool of nodeTools) {
    const lock = await files.first(tool.locks)
    if (lock !== undefined) locked.push({ tool, lock })
  }
  const chosen = locked.find(({ tool }) => tool.name === named) ?? locked[0]
  if (locked.length > 1)
    files.notes.push(
      `There are several lock files, ${locked.map(({ lock }) => lock).join(', ')}; ${chosen!.lock} is used.`,
    )
  if (chosen) return { ...chosen, because: `, and ${chosen.lock} names ${chosen.tool.name}` }
  const tool = nodeTools.find(({ name }) => name === named)
  return tool
    ? { tool, because: `, and packageManager names ${tool.name}` }
    : { tool: nodeTools[0]!, because: '' }
}

/** Returns an install that never rewrites a lock file, since that would look like the agent's work. */
async function installOf(
  files: Files,
  tool: NodeTool,
  lock: string | undefined,
): Promise<string | undefined> {
  if (lock === undefined) return tool.name === 'npm' ? 'npm install --no-package-lock' : undefined
  if (tool.name !== 'yarn') return tool.install
  // Yarn 2 and later call it differently.
  const start = (await files.start(lock, 1024)) ?? ''
  return start.includes('__metadata:') ? 'yarn install --immutable' : tool.install
}

async function makeTests(files: Files): Promise<FoundTests | undefined> {
  // The order of GNU make.
  const path = await files.first(['GNUmakefile', 'makefile', 'Makefile'])
  if (path === undefined) return undefined
  const targets = new Set(((await files.text(path)) ?? '').split('\n').flatMap(targetsOf))
  const target = ['test', 'check'].find((name) => targets.has(name))
  if (target === undefined) {
    files.notes.push(`${path} has no target "test" or "check".`)
    return undefined
  }
  return { command: `make ${target}`, because: `${path} has a target "${target}"` }
}

/** Returns the targets for which a line of a makefile gives rules. */
function targetsOf(line: string): string[] {
  const colon = line.indexOf(':')
  if (colon <= 0 || /^[\s#]/.test(line)) return []
  // NAME := value, and similar assignments.
  if (/^:{0,2}=/.test(line.slice(colon + 1)) || line.slice(0, colon).includes('=')) return []
  return line.slice(0, colon).trim().split(/\s+/)
}

const pythonFiles: readonly { path: string; says?: RegExp }[] = [
  { path: 'pytest.ini' },
  { path: 'pyproject.toml', says: /^[ \t]*\[tool\.pytest[.\]]|["']pytest\b|^[ \t]*pytest[ \t]*=/m },
  { path: 'tox.ini', says: /^\[pytest\]/m },
  { path: 'setup.cfg', says: /^\[tool:pytest\]/m },
  { path: 'conftest.py' },
]

async function pythonTests(files: Files): Promise<FoundTests | undefined> {
  for (const { path, says } of pythonFiles) {
    const text = says ? await files.text(path) : (await files.has(path)) ? '' : undefined
    if (text === undefined || (says && !says.test(text))) continue
    const because = `${path} ${says ? 'names pytest' : 'exists'}`
    if (await files.has('uv.lock'))
      return { command: 'uv run pytest', because: `${because}, and uv.lock names uv` }
    if (await files.has('poetry.lock'))
      return {
        command: 'poetry run pytest',
        setup: 'poetry install',
        because: `${because}, and poetry.lock names poetry`,
      }
    return { command: 'python3 -m pytest', because }
  }
  return undefined
}

async function goTests(files: Files): Promise<FoundTests | undefined> {
  return (await files.has('go.mod')) ? { command: 'go test ./...', because: 'go.mod exists' } : undefined
}

async function rustTests(files: Files): Promise<FoundTests | undefined> {
  return (await files.has('Cargo.toml')) ? { command: 'cargo test', because: 'Cargo.toml exists' } : undefined
}
