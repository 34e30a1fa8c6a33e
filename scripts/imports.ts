import { dirname, join, normalize } from 'node:path'

export interface Import {
  /** Path of the file below the project's folder. */
  target: string
  line: number
  /** `dynamic`: loaded when the code gets there. `type`: not loaded at all when the program runs. */
  kind: 'value' | 'dynamic' | 'type'
}

const FROM = /^(?:import|export)\s+(type\s)?([^'"`;]*?)\s*\bfrom\s*(['"])(\.{1,2}\/[^'"]+)\3/gm
const BARE = /^import\s*(['"])(\.{1,2}\/[^'"]+)\1/gm
const CALLED = /\bimport\s*\(\s*(['"])(\.{1,2}\/[^'"]+)\1\s*\)(\.[A-Z])?/g

/** Returns the imports of files of this project: static, dynamic, type-only and re-exported. */
export function importsOf(file: string, text: string): Import[] {
  const found: Import[] = []
  const add = (index: number, path: string, kind: Import['kind']) => {
    const line = text.slice(0, index).split('\n').length
    found.push({ target: normalize(join(dirname(file), path)), line, kind })
  }
  for (const { index, 1: type, 2: clause = '', 4: path } of text.matchAll(FROM)) {
    const names = /^\{([^}]*)\}$/.exec(clause.trim())?.[1]?.split(',') ?? ['all']
    const isType = type || names.every((name) => name.trim() === '' || name.trim().startsWith('type '))
    add(index, path!, isType ? 'type' : 'value')
  }
  for (const { index, 2: path } of text.matchAll(BARE)) add(index, path!, 'value')
  for (const { index, 2: path, 3: member } of text.matchAll(CALLED))
    add(index, path!, member === undefined ? 'dynamic' : 'type')
  return found.sort((a, b) => a.line - b.line)
}
