/**
 * Loaded into a process before its program: tells its parent, whenever it is asked, what the process uses, and ends it with
 * its parent.
 */
process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuMicroseconds: user + system, residentBytes: process.memoryUsage.rss() });
});
process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));
