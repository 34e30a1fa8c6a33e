import { basename, dirname } from 'node:path'
import { smallApart } from './rooms.ts'
import type { Break, Files } from './walls.ts'

/** Maximum number of files in a folder. */
export const MOST_FILES = 25
/** Maximum number of lines in a file. */
export const MOST_LINES = 500
/** Maximum length of a short file. It belongs in its neighbour if only that imports it, unless it has a test. */
export const SHORT_LINES = 60

/** A file's text, and whether a test is beside it. */
export interface Source {
  text: string
  tested: boolean
}

type SmallApart = typeof smallApart

/** Returns files and folders that are too large, and files that are only a part of their neighbour. */
export function grainBreaks(
  sources: ReadonlyMap<string, Source>,
  files: Files,
  allowed: SmallApart = smallApart,
): Break[] {
  const found = new Set<string>()
  const parts = [...sources].flatMap(([file, { text, tested }]) => {
    const importer = onlyImporter(file, files)
    if (tested || linesOf(text) > SHORT_LINES || importer === undefined) return []
    if (dirname(importer) !== dirname(file)) return []
    const place = allowed.find(({ where }) => where === file || where === dirname(file))
    if (place === undefined)
      return [
        {
          file,
          line: 1,
          message: `only ${basename(importer)} imports it and it has no test: move it there, or give the reason in smallApart`,
        },
      ]
    found.add(place.where)
    return []
  })
  return [
    ...parts,
    ...[...sources]
      .filter(([, { text }]) => linesOf(text) > MOST_LINES)
      .map(([file, { text }]) => ({
        file,
        line: 1,
        message: `has ${linesOf(text)} lines, more than ${MOST_LINES}`,
      })),
    ...crowded([...sources.keys()]),
    ...allowed
      .filter(({ where }) => !found.has(where))
      .map(({ where }) => ({
        file: 'scripts/rooms.ts',
        line: 1,
        message: `no small file is apart at ${where} any more: remove it from smallApart`,
      })),
  ]
}

const linesOf = (text: string): number => text.split('\n').length - 1

function onlyImporter(file: string, files: Files): string | undefined {
  const importers = [...files].filter(([, imports]) => imports.some(({ target }) => target === file))
  return importers.length === 1 ? importers[0]![0] : undefined
}

function crowded(names: readonly string[]): Break[] {
  const folders = Map.groupBy(names, dirname)
  return [...folders]
    .filter(([, files]) => files.length > MOST_FILES)
    .map(([folder, files]) => ({
      file: folder,
      line: 1,
      message: `${files.length} files are in one folder, more than ${MOST_FILES}`,
    }))
}
