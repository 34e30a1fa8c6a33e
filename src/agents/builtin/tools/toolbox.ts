import { editFile } from './edit-file.ts'
import { listFiles } from './list-files.ts'
import { readFile } from './read-file.ts'
import { runCommand } from './run-command.ts'
import { search } from './search.ts'
import type { Tool } from './tool.ts'
import { writeFile } from './write-file.ts'

/** All tools there are; a new one is its file and a name here. */
export const toolbox: readonly Tool[] = [readFile, writeFile, editFile, search, listFiles, runCommand]
