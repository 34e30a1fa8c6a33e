import { stringify } from 'yaml'
import { Step, Workflow } from '../../../contract/workflow.ts'
import { asMap, own } from '../loose-values.ts'
import type { ValuePath } from '../positions.ts'
import { didYouMean } from './did-you-mean.ts'
import { wordsOfFile } from './file-keys.ts'
import { command, type Instead, type Keys, scalar, type Words } from './instead.ts'
import { wordsByPlace } from './other-keys.ts'
import { wordsOfStep } from './step-keys.ts'
import { otherActions, otherValues } from './values.ts'

/** The subject of a schema: a workflow file, or the arguments of the action with this name; `''` is neither. */
export type Root = 'file' | (string & {})

/**
 * Returns the place of a path, the same for all steps, hosts and names: `file`, `step.retry`, `file.inputs.*`,
 * `cmd.run.cmd`.
 */
export function placeOf(root: Root, path: ValuePath): string {
  const [list, index, ...rest] = path
  const inStep = root === 'file' && (list === 'steps' || list === 'finally') && typeof index === 'number'
  let place = inStep ? 'step' : root
  let before: string | number = ''
  for (const part of inStep ? rest : path) {
    const any: boolean = typeof part === 'number' || mapsOfNames.includes(String(before))
    place += any ? '.*' : `.${part}`
    before = any ? '' : part
  }
  return place
}
const mapsOfNames = ['hosts', 'inputs', 'env', 'outputs', 'matrix', 'secrets', 'labels', 'vars', 'headers']

/** Returns what to write instead of an unknown key; undefined when there is no suggestion. */
export function insteadOfKey(place: string, key: string, value: unknown): Instead | undefined {
  if (place === '' || place.startsWith('.')) return undefined
  const word = snake(key.replace(/^ansible\.\w+\./, ''))
  if (place === 'vars.set') return { write: { vars: { [key]: value } } }
  const found = find(wordsAt(place), word)
  if (found) return found
  const isArgs = !place.startsWith('file') && !place.startsWith('step')
  if (isArgs && Object.hasOwn(Step.shape, word))
    return { say: `write ${word} beside args, in the step itself` }
  if (place === 'step' && Object.hasOwn(Workflow.shape, word))
    return { say: word === 'description' ? 'write it as a comment: # …' : `write ${word} at the top level` }
  if (place === 'step' && (value === null || own(value, 'action') !== undefined))
    return {
      write: { name: key, action: own(value, 'action') ?? 'noop' },
      say: 'name is a key like the others',
    }
  if (place === 'file' && Object.hasOwn(Step.shape, word)) return { say: `write ${word} in the step` }
  return place === 'file' ? insteadOfJob(key, value) : undefined
}

/** Suggests a valid variable name for an invalid one. */
export function variableHint(name: string): string | undefined {
  const fitting = name
    .replace(/\W+/g, '_')
    .replace(/^(?=\d)/, '_')
    .slice(0, 128)
  return /^(?!__proto__$)[A-Za-z_]\w*$/.test(fitting) ? `write ${fitting}` : undefined
}

/** Recognizes a map at the top level that looks like a job or a task. */
function insteadOfJob(key: string, value: unknown): Instead | undefined {
  const holder = ['script', 'run', 'command', 'cmds', 'cmd', 'commands'].find(
    (name) => own(value, name) !== undefined,
  )
  if (holder === undefined) return undefined
  const lines = own(value, holder)
  return { write: { steps: [{ name: key, ...command(lines) }] } }
}

function wordsAt(place: string): Words {
  if (place === 'file') return wordsOfFile
  if (place === 'step') return wordsOfStep
  return Object.hasOwn(wordsByPlace, place) ? wordsByPlace[place]! : []
}

function find(words: Words, word: string): Instead | undefined {
  return words.find(([names]) => names.split(' ').includes(word))?.[1]
}

/** Converts `timeout-minutes` and `timeoutMinutes` to `timeout_minutes`. */
function snake(key: string): string {
  return key
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toLowerCase()
}

/** Returns the hint for an unknown key. */
export function keyHint(
  place: string,
  key: string,
  value: unknown,
  allowed: readonly string[],
): string | undefined {
  const word = snake(key)
  if (allowed.includes(word)) return `write ${word}${scalar(value) ? `: ${inline(value)}` : ''}`
  const instead = insteadOfKey(place, key, value)
  if (instead) return textOf(instead, value)
  const otherwise =
    allowed.length > 0 ? `allowed here: ${allowed.join(', ')}` : 'no keys are allowed here; leave it out'
  return didYouMean(key, allowed, place === '' && allowed.length === 0 ? undefined : otherwise)
}

/** Places where an empty value should not just be left out. */
const hintWhenEmpty = [
  'file.steps',
  'file.inputs.*',
  'file.env.*',
  'step',
  'step.env.*',
  'step.name',
  'step.action',
]

/** Returns what to write for a value of the wrong kind, or (`given` is undefined) a missing one. */
function insteadOfValue(place: string, value: unknown, parent: unknown): Instead | undefined {
  if (value === null && !hintWhenEmpty.includes(place)) return undefined
  return Object.hasOwn(otherValues, place) ? otherValues[place]!(value, parent) : undefined
}

export function valueHint(place: string, value: unknown, parent: unknown): string | undefined {
  const instead = insteadOfValue(place, value, parent)
  return instead && textOf(instead, value)
}

/** Returns the hint for an unknown action; without a suggestion, the names of the known ones. */
export function actionHint(name: string, all: readonly string[]): string {
  const instead = find(otherActions, name.toLowerCase())
  if (instead) return textOf(instead, name)!
  return name.includes('/')
    ? 'actions of other systems cannot be used; write what it does as a command: action: cmd.run'
    : didYouMean(name, all, `available actions: ${all.join(', ')}`)!
}

export function keysOf({ write }: Instead, value: unknown): Keys | undefined {
  return typeof write === 'function' ? write(value) : write
}

export function textOf(instead: Instead, value: unknown): string | undefined {
  const keys = keysOf(instead, value)
  const { at, say } = instead
  if (keys === undefined) return say
  const written = Object.entries(keys).map(([key, value]) => `${key}: ${inline(value)}`)
  const all = [written.slice(0, -1).join(', '), written.at(-1)].filter((part) => part !== '').join(' and ')
  return `write ${all}${at === undefined ? '' : ` ${at}`}${say === undefined ? '' : `; ${say}`}`
}

const maxShown = 120

/** Formats a value for one line, also within a list or a map. */
function inline(value: unknown): string {
  const text = flow(value)
  return text.length > maxShown ? `${text.slice(0, maxShown)}…` : text
}

const most = { entries: 12, depth: 6 }

function flow(value: unknown, depth = 0): string {
  if (depth > most.depth) return '…'
  const inner = (one: unknown) => flow(one, depth + 1)
  if (Array.isArray(value)) return `[${value.slice(0, most.entries).map(inner).join(', ')}]`
  const map = asMap(value)
  if (map) {
    const entries = Object.entries(map).slice(0, most.entries)
    return `{${entries.map(([key, held]) => `${inner(key)}: ${inner(held)}`).join(', ')}}`
  }
  const short = typeof value === 'string' ? value.slice(0, 500) : value
  if (typeof short === 'string' && /[\n\t]/.test(short)) return JSON.stringify(short)
  const text = stringify([short], inOneLine)
  return text.trim().slice(1, -1)
}

const inOneLine = { collectionStyle: 'flow', flowCollectionPadding: false, lineWidth: 0 } as const
