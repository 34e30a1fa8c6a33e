import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { BotSource } from '../../../contract/bots/bot.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { EntryNames, entryPath, refusedEntry } from '../../sources/archive-entries.ts'
import type { BuildFolder } from './build-image.ts'
import { nodeRequirements, pythonRequirements, requirementLines } from './requirements.ts'

export type SimpleSource = Extract<BotSource, { mode: 'simple' }>

/** Describes what one language needs in a simple bot. */
interface Recipe {
  /** Files that the dependencies are installed from, in a layer before that of the code. */
  dependencies: Readonly<Record<string, string>>
  /** Instructions before they are copied; `install` holds those after. */
  before: readonly string[]
  install: readonly string[]
  /** Program that runs the entrypoint. */
  program: string
}

type Language = 'python' | 'node'

/** Numeric user, so that an engine can see that it is not root. */
const USER = '65532:65532'
const languages: Readonly<Record<string, Language>> = { py: 'python', js: 'node', mjs: 'node', cjs: 'node' }

const OPTIONS = '--omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier --cache=/tmp/npm-cache'

const isObject = (value: unknown): value is Record<string, never> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const recipes = { python: pythonRecipe, node: nodeRecipe }

/** Returns the language of the source, or of its entrypoint's file extension. */
export function languageOf({ language, entrypoint }: SimpleSource): Language {
  const found = language ?? languages[/\.([a-z]+)$/.exec(entrypoint)?.[1] ?? '']
  if (found !== undefined) return found
  throw new ErrandError(
    'invalid_argument',
    `The extension of ${JSON.stringify(entrypoint)} does not identify a language.`,
    {
      hint: 'Use an entrypoint that ends with .py, .js, .mjs or .cjs, or set the language to python or node.',
    },
  )
}

/** Writes the build folder of its image. Everything that its owner chose is in files, or in JSON. */
export async function writeSimple(
  source: SimpleSource,
  baseId: string,
  folder: string,
): Promise<BuildFolder> {
  const files = cleanFiles(source.files)
  const entrypoint = entryPath(source.entrypoint)
  if (!files.has(entrypoint))
    throw new ErrandError(
      'invalid_argument',
      `The entrypoint ${JSON.stringify(entrypoint)} is not among the files.`,
      {
        hint: `The files are: ${[...files.keys()].slice(0, 20).join(', ')}.`,
      },
    )
  const recipe = recipes[languageOf(source)](source.requirements, files)
  const dependencies = Object.entries(recipe.dependencies)
  const dockerfile = [
    `FROM ${baseId}`,
    'USER 0:0',
    ...recipe.before,
    // The first copy creates the folder, which then belongs to the user, like its content.
    ...(dependencies.length === 0 ? [] : [copy('dependencies'), 'WORKDIR /app', ...recipe.install]),
    copy('code'),
    'WORKDIR /app',
    'ENV HOME=/tmp',
    `USER ${USER}`,
    'ENTRYPOINT []',
    `CMD ${JSON.stringify([recipe.program, `/app/${entrypoint}`])}`,
    '',
  ].join('\n')
  const keep = [
    ...dependencies.map(([path, text]) => [`dependencies/${path}`, text] as const),
    ...[...files].map(([path, text]) => [`code/${path}`, text] as const),
  ]
  for (const [path, text] of [['Dockerfile', dockerfile] as const, ...keep]) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text, { flag: 'wx' })
  }
  return { folder, dockerfile: 'Dockerfile', keep: keep.map(([path]) => path) }
}

const copy = (folder: string): string => `COPY --chown=${USER} ["${folder}/", "/app/"]`

function cleanFiles(files: Readonly<Record<string, string>>): Map<string, string> {
  const names = new EntryNames()
  return new Map(
    Object.entries(files).map(([name, text]) => {
      const path = entryPath(name)
      if (path === '' || name.endsWith('/') || !name.isWellFormed())
        throw refusedEntry(name, 'is not a valid file name', 'Write it as bot.py or lib/texts.py.')
      names.add(path, 'file')
      return [path, text]
    }),
  )
}

/**
 * Builds the recipe for Node: dependencies from the list, and from a package.json among the files, with its
 * package-lock.json if nothing is added. Scripts of packages do not run.
 */
export function nodeRecipe(requirements: readonly string[], files: ReadonlyMap<string, string>): Recipe {
  const listed = nodeRequirements(requirementLines(requirements, 'requirements'))
  const isMore = Object.keys(listed).length > 0
  const own = files.get('package.json')
  const lock = isMore || own === undefined ? undefined : files.get('package-lock.json')
  const manifest: Manifest = own === undefined ? { private: true } : packageJson(own)
  const merged = isMore ? { ...manifest, dependencies: { ...manifest.dependencies, ...listed } } : manifest
  const command = lock === undefined ? 'install' : 'ci'
  return {
    dependencies:
      !isMore && own === undefined
        ? {}
        : {
            'package.json': `${JSON.stringify(merged, null, 2)}\n`,
            ...(lock === undefined ? {} : { 'package-lock.json': lock }),
          },
    before: ['ENV NODE_ENV=production'],
    install: [`RUN npm ${command} ${OPTIONS} && rm -rf /tmp/npm-cache`],
    program: 'node',
  }
}

interface Manifest {
  private?: boolean
  dependencies?: Record<string, string>
}

function packageJson(text: string): Manifest {
  const refused = (why: string, cause?: unknown) =>
    new ErrandError('source_refused', `package.json ${why}.`, {
      hint: 'Write it as {"dependencies": {"telegraf": "^4.16"}}.',
      cause,
    })
  let manifest: unknown
  try {
    manifest = JSON.parse(text)
  } catch (error) {
    throw refused(`is not valid JSON: ${(error as Error).message}`, error)
  }
  if (!isObject(manifest)) throw refused('is not an object')
  if (manifest.dependencies !== undefined && !isObject(manifest.dependencies))
    throw refused('has "dependencies" that are not an object')
  return manifest
}

/**
 * Builds the recipe for Python: dependencies from the list, and from a requirements.txt among the files, which must
 * have the same grammar.
 */
function pythonRecipe(requirements: readonly string[], files: ReadonlyMap<string, string>): Recipe {
  const own = files.get('requirements.txt')?.split(/\r?\n/) ?? []
  const lines = pythonRequirements([
    ...requirementLines(requirements, 'requirements'),
    ...requirementLines(own, 'requirements.txt'),
  ])
  return {
    dependencies: lines.length === 0 ? {} : { 'requirements.txt': `${lines.join('\n')}\n` },
    before: [
      'ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore',
    ],
    install: ['RUN ["python", "-m", "pip", "install", "--no-cache-dir", "-r", "requirements.txt"]'],
    program: 'python',
  }
}
