import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { BotSource } from '../../../contract/bot.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { EntryNames } from '../../sources/entry-names.ts'
import { entryPath, refusedEntry } from '../../sources/entry-path.ts'
import type { BuildFolder } from './build-image.ts'
import { nodeRecipe } from './node-recipe.ts'
import { pythonRecipe } from './python-recipe.ts'

export type SimpleSource = Extract<BotSource, { mode: 'simple' }>

/** The needs of one language in a simple bot. */
export interface Recipe {
  /** Files that the dependencies are installed from, in a layer before that of the code. */
  dependencies: Readonly<Record<string, string>>
  /** Instructions before and after they are copied. */
  before: readonly string[]
  install: readonly string[]
  /** Program that is given the entrypoint. */
  program: string
}

type Language = 'python' | 'node'

/** Numeric, so that an engine can see that it is not root's. */
const USER = '65532:65532'
const languages: Readonly<Record<string, Language>> = { py: 'python', js: 'node', mjs: 'node', cjs: 'node' }
const recipes = { python: pythonRecipe, node: nodeRecipe }

/** Of the source, or of the ending of its entrypoint. */
export function languageOf({ language, entrypoint }: SimpleSource): Language {
  const found = language ?? languages[/\.([a-z]+)$/.exec(entrypoint)?.[1] ?? '']
  if (found !== undefined) return found
  throw new ErrandError(
    'invalid_argument',
    `The ending of ${JSON.stringify(entrypoint)} tells no language.`,
    {
      hint: 'Name the entrypoint .py, .js, .mjs or .cjs, or say the language: python or node.',
    },
  )
}

/** Writes what an image of it is built of. Everything that its owner chose stands in files, or in JSON. */
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
    // What is copied first makes the folder, which is then the user's, as all that stands in it is.
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
        throw refusedEntry(name, 'is no name of a file', 'Write it as bot.py or lib/texts.py.')
      names.add(path, 'file')
      return [path, text]
    }),
  )
}
