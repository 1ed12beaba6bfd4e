"""What every architecture is tested with; usable by people who add one."""
