# llave-bench in a container. docs/walkthroughs.md has the commands.
FROM python:3.12-slim

RUN useradd --create-home llave && mkdir /home/llave/bench && chown llave /home/llave/bench
COPY . /src
RUN pip install --no-cache-dir "/src[plot]" && rm -rf /src
USER llave
WORKDIR /home/llave/bench
ENV LLAVE_CACHE=/home/llave/bench/runs/cache
ENTRYPOINT ["llave"]
CMD ["--help"]
