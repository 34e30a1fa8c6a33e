/** The command line without the code of `largeCommands`, which the build leaves out of it. */
export { main } from './main-all.ts'
