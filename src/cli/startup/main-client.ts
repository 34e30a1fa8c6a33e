/** Runs the command line without the code of `largeCommands`, which the build leaves out of this bundle. */
export { main } from './main-all.ts'
