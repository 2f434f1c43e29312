#!/bin/bash
# java: its compiler on a program of several classes, then that program: threads, direct and mapped
# buffers (which are malloc's), zip and hashes in native code, class loaders that come and go. The
# virtual machine reads no options but ours.
source "$(dirname "$0")/lib.sh"
need java default-jre-headless
limit=90
unset JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS
cat >Work.java <<'JAVA'
import java.io.*;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.*;
import java.security.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import java.util.zip.*;

public class Work {
    static byte[] bytes(int size, long seed) {
        byte[] data = new byte[size];
        Random random = new Random(seed);
        for (int i = 0; i < size; i++) data[i] = (byte) (random.nextInt(20) + (i >> 8));
        return data;
    }

    // Deflater and Inflater hold their state in malloc's memory until end().
    static long zip(int seed) throws Exception {
        byte[] data = bytes(200_000 + seed * 1000, seed);
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        Deflater deflater = new Deflater(1 + seed % 9);
        try (OutputStream out = new DeflaterOutputStream(packed, deflater)) { out.write(data); }
        deflater.end();
        Inflater inflater = new Inflater();
        byte[] back;
        InputStream source = new ByteArrayInputStream(packed.toByteArray());
        try (InputStream in = new InflaterInputStream(source, inflater)) {
            back = in.readAllBytes();
        }
        inflater.end();
        if (!Arrays.equals(data, back)) throw new AssertionError("zip " + seed);
        CRC32 sum = new CRC32();
        sum.update(back);
        return sum.getValue();
    }

    static long direct(int seed) {
        Random random = new Random(seed);
        ByteBuffer[] live = new ByteBuffer[64];
        long sum = 0;
        for (int i = 0; i < 2000; i++) {
            int at = random.nextInt(live.length);
            if (live[at] != null) sum += live[at].getInt(live[at].capacity() - 4);
            int most = i % 50 == 0 ? 2_000_000 : 20_000;
            live[at] = ByteBuffer.allocateDirect(16 + random.nextInt(most));
            live[at].putInt(live[at].capacity() - 4, i);
        }
        return sum;
    }

    public static void main(String[] arguments) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(6);
        List<Future<Long>> zips = new ArrayList<>();
        for (int i = 0; i < 24; i++) { int seed = i; zips.add(pool.submit(() -> zip(seed))); }
        List<Future<Long>> buffers = new ArrayList<>();
        for (int i = 0; i < 12; i++) { int seed = i; buffers.add(pool.submit(() -> direct(seed))); }
        long sum = 0;
        for (Future<Long> one : zips) sum += one.get();
        System.out.println("zips " + sum);
        sum = 0;
        for (Future<Long> one : buffers) sum += one.get();
        System.out.println("direct buffers " + sum);
        pool.shutdown();

        CountDownLatch all = new CountDownLatch(1000);
        for (int i = 0; i < 1000; i++) new Thread(all::countDown).start();
        System.out.println("short threads " + all.await(60, TimeUnit.SECONDS));

        Path file = Path.of("mapped");
        Files.write(file, bytes(3_000_000, 7));
        MessageDigest sha = MessageDigest.getInstance("SHA-256");
        try (FileChannel channel = FileChannel.open(file)) {
            sha.update(channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size()));
        }
        System.out.println("mapped " + HexFormat.of().formatHex(sha.digest()));
        try (ZipOutputStream zip = new ZipOutputStream(new FileOutputStream("many.zip"))) {
            for (int i = 0; i < 300; i++) {
                zip.putNextEntry(new ZipEntry("entry" + i));
                zip.write(bytes(i * 10, i));
            }
        }
        try (ZipFile zip = new ZipFile("many.zip")) {
            System.out.println("entries " + zip.stream().mapToLong(ZipEntry::getSize).sum());
        }
        Process child = new ProcessBuilder("echo", "from a child").start();
        System.out.print(new String(child.getInputStream().readAllBytes()));
        System.out.println("exit " + child.waitFor());
        Map<String, List<Integer>> groups = IntStream.range(0, 300_000).boxed()
            .collect(Collectors.groupingBy(i -> "g" + i % 999));
        System.gc();
        System.out.println("groups " + groups.values().stream().mapToInt(List::size).sum());
    }
}
JAVA
cat >workload.sh <<'SH'
java -Xmx256m -XX:+UseG1GC ../Work.java
java -Xmx128m -XX:+UseSerialGC -Xint -version 2>&1 | wc -l
SH
twice bash ../workload.sh
printed "short threads true" "from a child" "exit 0" "groups 300000" "entries 448500"
under_moat java
passed
