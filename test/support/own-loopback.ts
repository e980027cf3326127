/** Whether all of 127.0.0.0/8 belongs to this machine by default. */
export const ownLoopback = process.platform === 'linux'

/** Suffix for the names of tests that need it, on systems where they do not run. */
export const LOOPBACK_NOTE = ownLoopback ? '' : ' (NOT RUN: needs 127.0.0.2, which only Linux has by default)'
