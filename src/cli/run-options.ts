import { oneOf } from './one-of.ts'
import { type ColorChoice, colorChoices } from './render/palette.ts'

/** How a run is shown, wherever it is. */
export const showOptions = {
  verbose: { type: 'boolean', help: 'Tell each instance of a step by itself, however many there are' },
  color: {
    type: 'string',
    value: 'WHEN',
    help: 'Colours, also those of the steps: auto (default), always or never',
  },
} as const

/** Throws a UsageError. */
export const colorChoice = (given: string | undefined): ColorChoice | undefined =>
  oneOf('--color', given, colorChoices)

/** Options that the three ways to run a file share. */
export const runOptions = {
  var: { type: 'string', multiple: true, value: 'K=V', help: 'Set an input or a variable' },
  secret: {
    type: 'string',
    multiple: true,
    value: 'NAME',
    help: 'Give a secret of the environment; also NAME=@FILE, or NAME=value',
  },
  'run-id': { type: 'string', value: 'ID', help: 'Name the run' },
  'output-path': {
    type: 'string',
    value: 'DIR',
    help: 'Folder for the whole output of steps that name none',
  },
  yes: { type: 'boolean', short: 'y', help: 'Approve every step that asks' },
  approve: { type: 'string', multiple: true, value: 'STEP', help: 'Approve this step' },
  json: { type: 'boolean', help: 'Print one JSON event a line, and {"type":"result"} at the end' },
  ...showOptions,
} as const
